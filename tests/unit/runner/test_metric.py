"""The wrapped metric: returns, arguments, counts, and the fuse."""

import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.runner.failures import Cancelled, JobFailed
from workers.runner.metric import MAX_SCORE, Metric, MetricReturnError, positional_arity


def _returning(value: Any, style: Any = "score") -> Metric:  # noqa: ANN401  # anything a user returns
    def function(gold: Any, pred: Any, trace: Any = None) -> Any:  # noqa: ANN401  # DSPy examples
        return value

    return Metric(function, style=style)


def _takes_one(gold: Any) -> float:  # noqa: ANN401  # DSPy examples
    return 1.0


def _takes_two(gold: Any, pred: Any) -> float:  # noqa: ANN401  # DSPy examples
    return 1.0


def _takes_six(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> float:  # noqa: ANN401  # DSPy examples
    return 1.0


def _needs_a_name(a: Any, b: Any, *, must: Any) -> float:  # noqa: ANN401  # DSPy examples
    return 1.0


@given(value=st.one_of(st.booleans(), st.integers(-10, 10), st.floats(-MAX_SCORE, MAX_SCORE)))
@pytest.mark.parametrize("style", ["score", "feedback", "none"])
def test_a_plain_number_passes_unchanged(style: str, value: float) -> None:
    score = _returning(value, style)(None, None)

    assert score == value
    assert type(score) is type(value)


@pytest.mark.parametrize(
    "value",
    [dspy.Prediction(score=0.5), {"score": 0.5, "feedback": "f"}, Fraction(1, 2), np.float32(0.5)],
)
def test_a_score_in_any_wrapping_is_a_plain_number_where_no_feedback_is_wanted(value: object) -> None:
    score = _returning(value)(None, None)

    assert score == 0.5
    assert type(score) is float


def test_a_zero_in_a_prediction_is_false() -> None:
    assert bool(dspy.Prediction(score=0.0)), "the trap: DSPy takes any Prediction for a success"

    assert not _returning(dspy.Prediction(score=0.0, feedback="f"))(None, None)


@pytest.mark.parametrize("value", [{"score": 1, "feedback": "f"}, dspy.Prediction(score=1, feedback="f")])
def test_feedback_is_kept_for_an_optimizer_that_reads_it(value: object) -> None:
    result = _returning(value, "feedback")(None, None)

    assert isinstance(result, dspy.Prediction)
    assert (result.score, result.feedback) == (1, "f")


def test_a_prediction_without_feedback_is_a_plain_number() -> None:
    assert _returning(dspy.Prediction(score=0.5), "feedback")(None, None) == 0.5


@pytest.mark.parametrize(
    "value", [None, "1.0", [1.0], {"points": 1}, object(), math.nan, math.inf, -math.inf, 1e308, 10**400]
)
def test_what_is_no_score_is_refused_by_name(value: object) -> None:
    metric = _returning(value)

    with pytest.raises(MetricReturnError, match="returned"):
        metric(None, None)
    assert metric.tally.errors == 1


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda gold, pred: (gold, pred), 2),
        (lambda gold, pred, trace: (gold, pred, trace), 3),
        (lambda gold, pred, trace=None, name=None, more=None: (gold, pred, trace, name, more), 5),
        (lambda *everything: everything, 5),
        (lambda gold, pred, *, strict=True: (gold, pred) if strict else (), 2),
    ],
)
def test_a_metric_gets_as_many_arguments_as_it_takes(function: Callable[..., Any], given: int) -> None:
    seen: list[int] = []

    def spy(*arguments: Any) -> float:  # noqa: ANN401  # DSPy examples
        seen.append(len(function(*arguments)))
        return 1.0

    spy.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # stands in for it
    Metric(spy, style="score")("gold", "pred", "trace", "name", "more")

    assert seen == [given]


@pytest.mark.parametrize("function", [_takes_one, _takes_six, _needs_a_name])
def test_an_impossible_arity_fails_the_job(function: Callable[..., Any]) -> None:
    with pytest.raises(JobFailed, match="2 to 5 positional"):
        positional_arity(function)


def _failing_when(fails: Callable[[int], bool]) -> tuple[Metric, Callable[[], None]]:
    calls = iter(range(10_000))

    def function(gold: Any, pred: Any) -> float:  # noqa: ANN401  # DSPy examples
        number = next(calls)
        if fails(number):
            message = f"row {number}"
            raise KeyError(message)
        return number / 10

    metric = Metric(function, style="score")

    def call() -> None:
        try:
            metric(None, None)
        except KeyError:
            return

    return metric, call


def test_five_failures_from_the_start_end_the_job() -> None:
    metric, call = _failing_when(lambda number: True)  # noqa: ARG005  # every one
    for _ in range(4):
        call()

    with pytest.raises(JobFailed, match=r"\[5 of 5 calls failed\]") as caught:
        call()

    assert caught.value.failure.kind == "metric_error"
    assert len(metric.tally.tracebacks) == 3


def test_more_than_half_of_ten_failures_end_the_job() -> None:
    _, call = _failing_when(lambda number: number >= 4)
    for _ in range(9):
        call()

    with pytest.raises(JobFailed, match=r"\[6 of 10 calls failed\]"):
        call()


def test_half_failing_rows_are_only_counted() -> None:
    metric, call = _failing_when(lambda number: number % 2 == 1)

    for _ in range(100):
        call()

    assert (metric.tally.calls, metric.tally.errors) == (100, 50)
    assert (metric.tally.lowest, metric.tally.highest) == (0.0, 9.8)


def test_a_metric_that_leaves_the_process_ends_the_job() -> None:
    def leave(gold: Any, pred: Any) -> float:  # noqa: ANN401  # DSPy examples
        raise SystemExit(2)

    with pytest.raises(JobFailed, match="SystemExit"):
        Metric(leave, style="score")(None, None)


def test_a_cancel_is_no_failure_of_the_metric() -> None:
    def cancelled(gold: Any, pred: Any) -> float:  # noqa: ANN401  # DSPy examples
        raise Cancelled

    metric = Metric(cancelled, style="score")

    with pytest.raises(Cancelled):
        metric(None, None)
    assert metric.tally.errors == 0


def test_every_call_is_observed() -> None:
    seen: list[int] = []
    metric = Metric(_takes_two, style="score", observer=lambda: seen.append(1))

    metric(None, None)
    metric(None, None)

    assert len(seen) == 2


def test_a_gate_is_asked_first_and_may_end_the_job() -> None:
    def closed() -> None:
        raise Cancelled

    metric = _returning(1.0)
    gated = metric.gated(closed)

    with pytest.raises(Cancelled):
        gated(None, None)

    assert metric.tally.calls == 0


def test_a_gated_metric_shares_its_tally_and_leaves_the_other_open() -> None:
    metric = _returning(1.0)
    gated = metric.gated(lambda: None)

    gated(None, None)
    metric(None, None)

    assert metric.tally.calls == 2
    assert gated.tally is metric.tally
