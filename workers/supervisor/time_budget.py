"""Compares an attempt's running time with what the operator allows and what the job's budget leaves."""

import asyncio
from collections.abc import Callable
from typing import Final

from dspy_service.domain.supervision import Phase
from workers.supervisor.clock import RunningClock
from workers.supervisor.ending import Ending, limit_ending, time_limit_ending

LOOK_SECONDS: Final = 0.1
_RESERVE_SHARE: Final = 1.25  # of the baseline: prompts with demonstrations take longer
_UNWINDING_SECONDS: Final = 1.0
"""Between the word to stop and the final evaluation, and for the files after it."""


class TimeBudget:
    """Of one attempt. The final evaluation is reserved: it will take about as long as the baseline took.

    Args:
        clock: Of this attempt.
        job_seconds: The operator's limit of one attempt.
        max_seconds: The user's budget over all attempts; None: no bound.
        spent_seconds: Running time of earlier attempts.
        reserve_seconds: What an earlier attempt needed for the baseline; the model calls of this one's may be replayed.
    """

    def __init__(
        self,
        clock: RunningClock,
        *,
        job_seconds: float,
        max_seconds: float | None = None,
        spent_seconds: float = 0.0,
        reserve_seconds: float = 0.0,
    ) -> None:
        self.clock = clock
        self._job_seconds = job_seconds
        self._max_seconds = max_seconds
        self._spent_seconds = spent_seconds
        self._reserve_seconds = reserve_seconds
        self._phase: Phase | None = None
        self._phase_began = 0.0
        self.is_spent = False
        """Whether the runner was told to compile no further, or the attempt has ended over its budget."""

    def begin(self, phase: Phase) -> None:
        """Note what the runner works on now."""
        if self._phase == "baseline":
            self._reserve_seconds = max(self._reserve_seconds, self.clock.seconds - self._phase_began)
        self._phase, self._phase_began = phase, self.clock.seconds

    async def run(self, stop: Callable[[], None]) -> Ending:
        """Call ``stop`` once when only the reserve is left, and return once all time is used."""
        while True:
            ending = self.look(stop)
            if ending is not None:
                return ending
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, stop: Callable[[], None]) -> Ending | None:
        """Do the same for this moment; None: there is time left."""
        if self.clock.seconds >= self._job_seconds:
            return time_limit_ending(self._job_seconds)
        if self._max_seconds is None:
            return None
        left = self._max_seconds - self._spent_seconds - self.clock.seconds
        if left <= 0:
            self.is_spent = True
            message = f"The job's budget of {self._max_seconds:g} s of running time is used up."
            return limit_ending("budget_exhausted", message, reason="budget_exhausted")
        reserve_seconds = _RESERVE_SHARE * self._reserve_seconds + _UNWINDING_SECONDS
        if left <= reserve_seconds and self._phase == "compile" and not self.is_spent:
            self.is_spent = True
            stop()
        return None
