"""Compares an attempt's running time with what the operator allows and what the job's budget leaves."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from dspy_service.domain.supervision import Phase
from workers.supervisor.clock import RunningClock
from workers.supervisor.ending import Ending, limit_ending, time_limit_ending

LOOK_SECONDS: Final = 0.1
_SHORTEST_LOOK_SECONDS: Final = 0.001  # a clock that stands still must not make us spin
_RESERVE_SHARE: Final = 1.25  # of the baseline: prompts with demonstrations take longer
_UNWINDING_SECONDS: Final = 1.0
"""Between the word to stop and the final evaluation, and for the files after it."""
_FILES_SECONDS: Final = 0.5
"""For the files alone: the program of a compile that has ended must not be lost to its evaluation."""


class TimeBudget:
    """Of one attempt. The final evaluation is reserved: it will take about as long as the baseline took.

    The operator's limit bounds everything that the attempt's runner does. The user's budget and the job's
    ``active_seconds`` go by one and the same part of that: the time in ``running``. What it takes to get there
    (``validating``) is not in it, nor is what stands still or ends for another attempt to go on.

    Args:
        clock: Of this attempt.
        job_seconds: The operator's limit of one attempt.
        max_seconds: The user's budget of running time, over all attempts; None: no bound.
        spent_seconds: Running time of earlier attempts.
        reserve_seconds: What an earlier attempt needed for the baseline; the model calls of this one's may be replayed.
        keeps_reserve: Whether the final evaluation is reserved; without, all time may be spent on getting a program.
    """

    def __init__(
        self,
        clock: RunningClock,
        *,
        job_seconds: float,
        max_seconds: float | None = None,
        spent_seconds: float = 0.0,
        reserve_seconds: float = 0.0,
        keeps_reserve: bool = True,
    ) -> None:
        self.clock = clock
        self._job_seconds = job_seconds
        self._max_seconds = max_seconds
        self._spent_seconds = spent_seconds
        self._reserve_seconds = reserve_seconds
        self._keeps_reserve = keeps_reserve
        self._running_since: float | None = None
        self._phase: Phase | None = None
        self._phase_began = 0.0
        self._stopped: set[Phase] = set()
        self.is_spent = False
        """Whether the runner was told to stop, or the attempt has ended over its budget."""

    @property
    def running_seconds(self) -> float:
        """For which this attempt has been ``running``."""
        return 0.0 if self._running_since is None else self.clock.seconds - self._running_since

    def begin_running(self) -> None:
        """Count running time from now on."""
        self._running_since = self.clock.seconds

    def begin(self, phase: Phase) -> None:
        """Note what the runner works on now."""
        if self._phase == "baseline":
            self._reserve_seconds = max(self._reserve_seconds, self.clock.seconds - self._phase_began)
        self._phase, self._phase_began = phase, self.clock.seconds

    async def run(self, stop: Callable[[Phase], None]) -> Ending:
        """Call ``stop`` once for each phase that must end now, and return once all time is used."""
        while True:
            ending = self.look(stop)
            if ending is not None:
                return ending
            await asyncio.sleep(self.next_look_seconds)

    @property
    def next_look_seconds(self) -> float:
        """How long nothing can happen: a limit that is near is met to the moment, so that no call begins beyond it."""
        left = min(self._job_seconds - self.clock.seconds, self._left_seconds)
        return max(_SHORTEST_LOOK_SECONDS, min(LOOK_SECONDS, left))

    def look(self, stop: Callable[[Phase], None]) -> Ending | None:
        """Do the same for this moment; None: there is time left."""
        if self.clock.seconds >= self._job_seconds:
            return time_limit_ending(self._job_seconds)
        if self._max_seconds is None:
            return None
        left = self._left_seconds
        if left <= 0:
            self.is_spent = True
            message = f"The job's budget of {self._max_seconds:g} s of running time is used up."
            return limit_ending("budget_exhausted", message, reason="budget_exhausted")
        if self._phase is not None and left <= self._needed_seconds and self._phase not in self._stopped:
            self._stopped.add(self._phase)
            self.is_spent = True
            stop(self._phase)
        return None

    @property
    def _left_seconds(self) -> float:
        own = math.inf if self._max_seconds is None else self._max_seconds
        return own - self._spent_seconds - self.running_seconds

    @property
    def _needed_seconds(self) -> float:
        """What must be left when the present phase ends, for what comes after it."""
        if self._phase == "final":
            return _FILES_SECONDS
        if self._phase == "compile" and self._keeps_reserve:
            return _RESERVE_SHARE * self._reserve_seconds + _UNWINDING_SECONDS
        return 0.0
