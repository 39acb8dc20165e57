"""The bounds of a budget that only the runner can watch: metric calls, a score to reach, patience."""

import threading
from typing import Protocol

from dspy_service.domain.job import TerminationReason

ROUNDING = 1e-9  # a mean of many scores may miss the wanted one by this much


class Stoppable(Protocol):
    """What a bound ends; a Stage is one."""

    def stop(self, reason: TerminationReason, message: str) -> None:
        """End it; the first reason stands."""
        ...

    def check(self) -> None:
        """Go on, or raise Stopped or Cancelled."""
        ...


class MetricBound:
    """A gate that lets so many metric calls begin while optimizing; None: any number."""

    def __init__(self, stage: Stoppable, max_calls: int | None) -> None:
        self._stage = stage
        self._max_calls = max_calls
        self._begun = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Let one call begin.

        Raises:
            JobEnd: the stage has ended, or this call would be one too many.
        """
        self._stage.check()
        if self._max_calls is None:
            return
        with self._lock:
            fits = self._begun < self._max_calls
            self._begun += fits
        if not fits:
            self._stage.stop("budget_exhausted", f"The budget of {self._max_calls} metric calls is used up.")
            self._stage.check()


class ScoreBound:
    """Ends a compile that has reached its score, or that has not got better for too long."""

    def __init__(self, stage: Stoppable, *, target: float | None, patience: int | None) -> None:
        self._stage = stage
        self._target = target
        self._patience = patience
        self._since_best = 0

    def check(self) -> None:
        """Go on, or raise Stopped or Cancelled."""
        self._stage.check()

    def evaluated(self, score: float, *, is_best: bool) -> None:
        """Note an evaluation on the whole valset.

        Raises:
            Stopped: that was the wanted score, or one evaluation too many without a new best.
        """
        self._since_best = 0 if is_best else self._since_best + 1
        if self._target is not None and score >= self._target - ROUNDING:
            self._stage.stop("target_reached", f"A score of {score:g} on the whole valset reaches {self._target:g}.")
        elif self._patience is not None and self._since_best >= self._patience:
            message = f"{self._since_best} evaluations on the whole valset in a row gave no new best."
            self._stage.stop("no_improvement", message)
        self._stage.check()
