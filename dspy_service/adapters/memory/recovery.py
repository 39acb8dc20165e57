"""How one provider is called again after it refused calls, in memory: ``adapters/redis/lua/throttle.lua`` says why."""

import math
from dataclasses import dataclass, field

from dspy_service.domain.throttle import MAX_QUIET_SECONDS, PROBE_SECONDS, RAMP_SECONDS

_LONGEST_BACK_OFF_SECONDS = 10.0
_LEAST_ASKED_SECONDS = 1.0  # a shorter wait than that is none
_SLOWEST_PER_SECOND = 0.1
_SLOWEST_AT_FIRST_PER_SECOND = 1.0


@dataclass(frozen=True)
class _Growth:
    """Of the pace beyond the one that was refused, in seconds since a probe was answered."""

    from_seconds: float
    doubling_seconds: float
    free_seconds: float


_AFTER_OUTAGE = _Growth(RAMP_SECONDS, 5.0, 40.0)
_AFTER_LIMIT = _Growth(60.0, 30.0, 150.0)


@dataclass
class Recovery:
    """All moments are seconds of the throttle's clock."""

    quiet_until: float = -math.inf
    refusals: int = 0
    """In a row, as far as is known; of calls that were under way together it is one."""
    _refused_at: float = -math.inf
    _probed_at: float | None = None
    """When a single call was let through after the quiet time; None: none was."""
    _peak: float | None = None
    """Calls per second that are aimed at."""
    _is_limit: bool = False
    """Whether calls were refused after others had been answered; else it is an outage."""
    _first_paces: dict[str, float] | None = field(default=None)
    """Of each job when it was first refused; None once a probe was made."""

    def silence_seconds(self, now: float) -> float:
        """Return how long nobody may call; 0 or less: now."""
        probing = self._probed_at + PROBE_SECONDS - now if self._probed_at is not None and not self._is_over(now) else 0
        return max(self.quiet_until - now, probing)

    def wants_probe(self, now: float) -> bool:
        """Whether one call must show first that the provider answers again."""
        return self._probed_at is None and not self._is_over(now)

    def note_probe(self, now: float) -> None:
        """Note that it goes now."""
        self._probed_at = now
        self._first_paces = None

    def pace(self, now: float) -> float | None:
        """Return the calls per second that are right now; None for as many as the limits allow."""
        if self._peak is None or self._is_over(now):
            return None
        calm, growth = self._calm_seconds(now), self._growth
        if calm > growth.from_seconds:
            return float(self._peak * 2 ** ((calm - growth.from_seconds) / growth.doubling_seconds))
        return self._peak * (1 + min(1.0, max(0.0, calm) / RAMP_SECONDS)) / 2

    def refused(
        self,
        now: float,
        *,
        job: str,
        asked: float | None,
        calls_per_second: float,
        granted_per_second: float,
        call_seconds: float,
    ) -> bool:
        """Note a refusal, and return whether it is a new one: no part of one that was heard of."""
        begun_at = now - call_seconds
        is_new = begun_at > self._refused_at and self._note_new(begun_at, now, granted_per_second)
        if self._first_paces is not None and self._peak is not None:
            self._first_paces.setdefault(job, calls_per_second)
            self._peak = max(self._peak, sum(self._first_paces.values()))
        if is_new:
            self._refused_at, self._probed_at = now, None
            back_off = min(_LONGEST_BACK_OFF_SECONDS, 2.0 ** min(10, self.refusals - 1))
            asked = asked if asked is not None and asked >= _LEAST_ASKED_SECONDS else back_off
        self.quiet_until = max(self.quiet_until, now + min(MAX_QUIET_SECONDS, asked or 0.0))
        return is_new

    def _note_new(self, begun_at: float, now: float, granted_per_second: float) -> bool:
        before = self.pace(now)
        if before is None:
            self._is_limit, self._first_paces, self.refusals = False, {}, 1
            self._peak = max(_SLOWEST_AT_FIRST_PER_SECOND, granted_per_second)
        elif self._probed_at is None:
            return False  # somebody who had not heard of it yet
        elif begun_at <= self._probed_at + PROBE_SECONDS:
            self.refusals += 1
        else:
            self._is_limit, self.refusals = True, 1
            self._peak = max(_SLOWEST_PER_SECOND, min(before, max(granted_per_second, before / 2)))
        return True

    @property
    def _growth(self) -> _Growth:
        return _AFTER_LIMIT if self._is_limit else _AFTER_OUTAGE

    def _calm_seconds(self, now: float) -> float:
        return now - (self.quiet_until if self._probed_at is None else self._probed_at + PROBE_SECONDS)

    def _is_over(self, now: float) -> bool:
        return self._peak is None or self._calm_seconds(now) > self._growth.free_seconds
