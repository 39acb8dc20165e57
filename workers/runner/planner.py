"""Foretells how long a job still takes.

A job is a row of phases. Each is planned in *units*: the time of one call when calls follow each other, and of one
round of calls when ``num_threads`` run at once. Finished phases tell how many seconds a unit takes; the running phase
tells it too as soon as enough of it is done. What remains is the planned units of later phases and the rest of this.

A job that resumes first gets the answers of its earlier attempts, at once. That tells no pace: while answers are
replayed the planner's clock stands still, and the steps done then count as done, but not as work.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

TRUSTED_FRACTION = 0.1  # of a phase; below it, its own pace says too little
OVERRUN_FRACTION = 0.05  # a phase that did all it planned and goes on is taken to need this much more

Clock = Callable[[], float]


@dataclass
class Phase:
    """One stretch of the job."""

    name: str
    units: float
    """Planned length; see the module's docstring."""
    steps: float | None = None
    """Planned steps when somebody counts them otherwise than in units."""
    done: float = 0.0
    replayed: float = 0.0
    """Part of ``done`` that took no time."""
    started: float | None = None
    seconds: float | None = None
    """Its real length without replays, once it has ended."""

    @property
    def fraction(self) -> float:
        """Done share of what is planned, 0 to 1."""
        planned = self.units if self.steps is None else self.steps
        return min(1.0, self.done / planned) if planned else 0.0

    @property
    def worked(self) -> float:
        """Share of what is done that took time, 0 to 1."""
        return 1 - self.replayed / self.done if self.done else 1.0

    def advance(self, amount: float, *, replaying: bool) -> None:
        """Count work."""
        self.done += amount
        self.replayed += amount if replaying else 0.0


@dataclass
class Planner:
    """Counts steps against a plan; safe to use from any thread."""

    clock: Clock = time.monotonic
    phases: list[Phase] = field(default_factory=list)
    _current: Phase | None = None
    _replay_began: float | None = None
    _replay_seconds: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def plan(self, phases: list[Phase]) -> None:
        """Replace every phase that has not begun by ``phases``."""
        with self._lock:
            begun = [phase for phase in self.phases if phase.started is not None]
            names = {phase.name for phase in begun}
            self.phases = begun + [phase for phase in phases if phase.name not in names]

    def enter(self, name: str) -> None:
        """Begin a phase and end the one before; an unplanned name is a phase of unknown length."""
        with self._lock:
            if self._current is not None and self._current.name == name:
                return
            self.leave()
            phase = next((phase for phase in self.phases if phase.name == name and phase.started is None), None)
            if phase is None:
                phase = Phase(name, units=0.0)
                self.phases.append(phase)
            phase.started = self._now()
            self._current = phase

    def leave(self) -> None:
        """End the running phase."""
        with self._lock:
            if self._current is not None and self._current.started is not None:
                self._current.seconds = self._now() - self._current.started
            self._current = None

    def step(self, amount: float = 1.0) -> None:
        """Count work of the running phase."""
        with self._lock:
            if self._current is not None:
                self._current.advance(amount, replaying=self._replay_began is not None)

    def reach(self, done: float) -> None:
        """Set the running phase's work to a figure that somebody else counts, and that only grows."""
        with self._lock:
            if self._current is not None:
                self.step(done - self._current.done)

    def heard(self, replayed: bool, seconds: float) -> None:  # noqa: FBT001  # what stages tell, once per answer
        """Note an answer that took ``seconds``; between a replayed one and the next real question no time passes."""
        if replayed == (self._replay_began is not None):
            return
        with self._lock:
            now = self.clock()
            if replayed and self._replay_began is None:
                self._replay_began = now
            elif not replayed and self._replay_began is not None:
                self._replay_seconds += max(0.0, now - seconds - self._replay_began)
                self._replay_began = None

    @property
    def current(self) -> str | None:
        """Name of the running phase."""
        phase = self._current
        return None if phase is None else phase.name

    def eta_seconds(self) -> float | None:
        """Return the expected seconds to the end; None until the first phase tells a pace."""
        with self._lock:
            pace = self._seconds_per_unit()
            if pace is None:
                return 0.0 if self._is_over() else None
            waiting = sum(phase.units for phase in self.phases if phase.started is None)
            return round(waiting * pace + self._rest_of_current(pace), 1)

    def percent(self) -> float | None:
        """Return the done share of the expected time, 0 to 100; None while unknown."""
        eta = self.eta_seconds()
        starts = [phase.started for phase in self.phases if phase.started is not None]
        if eta is None or not starts:
            return None
        elapsed = self._now() - starts[0]
        return round(100 * elapsed / (elapsed + eta), 1) if elapsed + eta > 0 else 100.0

    def _now(self) -> float:
        """Seconds of a clock that stands still during a replay."""
        return (self.clock() if self._replay_began is None else self._replay_began) - self._replay_seconds

    def _is_over(self) -> bool:
        return self._current is None and bool(self.phases) and all(phase.started is not None for phase in self.phases)

    def _seconds_per_unit(self) -> float | None:
        """Pace of the newest finished phases, weighted by length, with the running one once it can be trusted."""
        units = seconds = 0.0
        for phase in self.phases:
            if phase.seconds is not None and phase.units:
                units += phase.units * phase.worked
                seconds += phase.seconds
        phase_now = self._current
        if phase_now is not None and phase_now.started is not None:
            worked = phase_now.fraction * phase_now.worked
            if worked >= TRUSTED_FRACTION:
                units += phase_now.units * worked
                seconds += self._now() - phase_now.started
        return seconds / units if units else None

    def _rest_of_current(self, pace: float) -> float:
        phase = self._current
        if phase is None or phase.started is None:
            return 0.0
        elapsed = self._now() - phase.started
        if phase.fraction >= 1.0:
            return OVERRUN_FRACTION * elapsed
        worked = phase.fraction * phase.worked
        if worked >= TRUSTED_FRACTION:
            return elapsed * (1 - phase.fraction) / worked
        return max(0.0, phase.units * (1 - phase.fraction + worked) * pace - elapsed)


def rounds(calls: int, threads: int) -> float:
    """Return the units of ``calls`` made ``threads`` at a time."""
    return float(math.ceil(calls / max(1, threads)))
