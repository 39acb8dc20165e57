"""Wraps the submitted metric: the return that its optimizer understands, counts, tracebacks, a gate and a fuse.

DSPy takes a metric that raises for a score of zero. A wrapped metric still lets that happen to a few rows, but one that
fails on most of them ends the job with the user's own traceback.
"""

import copy
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import dspy

from dspy_service.domain.catalogue.entries import MetricStyle
from dspy_service.domain.job import Failure
from workers.runner.failures import JobEnd, JobFailed, describe, failure_of, is_starved, user_traceback
from workers.runner.text import one_line

MIN_FAILURES = 5  # calls that must all have failed before the job ends
MIN_CALLS = 10  # calls after which more than half failing ends the job
KEPT_TRACEBACKS = 3
MAX_POSITIONAL = 5
MAX_SCORE = 1e100  # sums and squares of scores must stay floats

Observer = Callable[[], None]
Gate = Callable[[], None]
"""Asked before each call; raises JobEnd where no further one may begin."""


class MetricReturnError(TypeError):
    """The metric returned something that is not a score."""


@dataclass
class MetricTally:
    """What the metric did so far."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0
    lowest: float | None = None
    highest: float | None = None
    tracebacks: list[str] = field(default_factory=list)
    """The first three, distinct."""

    def as_details(self) -> dict[str, Any]:
        """Return the figures for the job's result; of this attempt alone, since each attempt scores anew."""
        return {
            "metric_calls": self.calls,
            "metric_calls_of": "the last attempt",
            "metric_errors": self.errors,
            "metric_seconds": round(self.seconds, 3),
            "metric_lowest": self.lowest,
            "metric_highest": self.highest,
            "metric_tracebacks": list(self.tracebacks),
        }


class Metric:
    """The submitted metric with five positional parameters, whatever the user's own takes.

    ``style`` says what the optimizer understands: ``feedback`` keeps a score with feedback as a ``dspy.Prediction``;
    else every return becomes a plain number, because ``bool(dspy.Prediction(score=0))`` is True and would make every
    bootstrapped demo a success. Plain numbers pass unchanged.
    """

    def __init__(self, function: Callable[..., Any], *, style: MetricStyle, observer: Observer | None = None) -> None:
        self.name = one_line(str(getattr(function, "__name__", "metric")), max_chars=200)
        self.__name__ = self.name  # Evaluate names a column after it
        self.tally = MetricTally()
        self._function = function
        self._arity = positional_arity(function)
        self._style = style
        self._observer = observer
        self._gate: Gate | None = None
        self._lock = threading.Lock()

    def gated(self, gate: Gate) -> "Metric":
        """Return the same metric with the same tally, which asks ``gate`` first."""
        twin = copy.copy(self)
        twin._gate = gate  # noqa: SLF001  # a twin is one of us
        return twin

    def __call__(
        self,
        gold: Any,  # noqa: ANN401  # DSPy examples and predictions are untyped
        pred: Any,  # noqa: ANN401  # the same
        trace: Any = None,  # noqa: ANN401  # the same
        pred_name: Any = None,  # noqa: ANN401  # the same
        pred_trace: Any = None,  # noqa: ANN401  # the same
    ) -> Any:  # noqa: ANN401  # a number, or a Prediction with feedback
        """Score one prediction.

        Raises:
            Exception: what the user's metric raised; DSPy counts the row as a failure.
            JobEnd: most rows fail, or no further call may begin.
        """
        if self._gate is not None:
            self._gate()
        started = time.perf_counter()
        try:
            result = self._function(*(gold, pred, trace, pred_name, pred_trace)[: self._arity])
            score = self._checked(result)
        except JobEnd:
            raise
        except BaseException as error:
            if is_starved(error):
                raise JobFailed(failure_of(error, kind="metric_error")) from error
            self._failed(error, time.perf_counter() - started)
            if isinstance(error, Exception):
                raise
            raise JobFailed(self.failure_of(error)) from error  # sys.exit() in a metric
        self._scored(score, time.perf_counter() - started)
        return self._shaped(result, score)

    def failure_of(self, error: BaseException) -> Failure:
        """Describe what the metric raised."""
        return Failure(
            kind="metric_error",
            message=f"The metric {self.name} failed: {describe(error)}",
            traceback=user_traceback(error),
        )

    def _checked(self, result: Any) -> bool | float:  # noqa: ANN401  # anything the user returns
        score = _score_of(result)
        if score is None:
            message = (
                f"{self.name} returned {_named(result)}; return a number, a bool, "
                "or dspy.Prediction(score=…, feedback=…)"
            )
            raise MetricReturnError(message)
        if not abs(score) <= MAX_SCORE:  # true for NaN too
            message = f"{self.name} returned {_digits(score)}; return a finite number of at most ±{MAX_SCORE:g}"
            raise MetricReturnError(message)
        return score

    def _shaped(self, result: Any, score: bool | float) -> Any:  # noqa: ANN401, FBT001  # a bool is a valid score
        if self._style != "feedback":
            return score
        feedback = _field(result, "feedback")
        if feedback is None:
            return score
        extra = {"objective_scores": objectives} if (objectives := _field(result, "objective_scores")) else {}
        return dspy.Prediction(score=score, feedback=feedback, **extra)

    def _scored(self, score: float, seconds: float) -> None:
        with self._lock:
            tally = self.tally
            tally.calls += 1
            tally.seconds += seconds
            tally.lowest = float(score) if tally.lowest is None else min(tally.lowest, float(score))
            tally.highest = float(score) if tally.highest is None else max(tally.highest, float(score))
        if self._observer is not None:
            self._observer()

    def _failed(self, error: BaseException, seconds: float) -> None:
        trace = user_traceback(error)
        with self._lock:
            tally = self.tally
            tally.calls += 1
            tally.errors += 1
            tally.seconds += seconds
            if len(tally.tracebacks) < KEPT_TRACEBACKS and trace not in tally.tracebacks:
                tally.tracebacks.append(trace)
            all_failed = tally.errors == tally.calls >= MIN_FAILURES
            most_failed = tally.calls >= MIN_CALLS and tally.errors * 2 > tally.calls
            calls, errors = tally.calls, tally.errors
        if self._observer is not None:
            self._observer()
        if all_failed or most_failed:
            failure = self.failure_of(error)
            message = f"{failure.message} [{errors} of {calls} calls failed]"
            raise JobFailed(failure.model_copy(update={"message": message})) from error


def positional_arity(function: Callable[..., Any]) -> int:
    """Return with how many positional arguments the metric is called: as many as it takes, at most five.

    Raises:
        JobFailed: it takes fewer than two, or needs more than five; kind ``metric_error``.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return MAX_POSITIONAL
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    takes_two = 2  # gold and pred
    if len(positional) < takes_two or len(required) > MAX_POSITIONAL or named:
        raise JobFailed(
            Failure(
                kind="metric_error",
                message="The metric must take 2 to 5 positional arguments: gold, pred, trace, pred_name, pred_trace.",
            ),
        )
    return min(len(positional), MAX_POSITIONAL)


def _score_of(result: Any) -> bool | float | None:  # noqa: ANN401  # anything the user returns
    value = _field(result, "score") if isinstance(result, (Mapping, dspy.Example)) else result
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, (bool, int, float)):
        return value
    return float(value) if isinstance(value, Real) else None


def _field(result: Any, name: str) -> Any:  # noqa: ANN401  # anything the user returns
    return result.get(name) if isinstance(result, (Mapping, dspy.Example)) else None


def _digits(score: float) -> str:
    return "a huge integer" if isinstance(score, int) else str(score)


def _named(result: object) -> str:
    return "None" if result is None else f"a {type(result).__name__}"
