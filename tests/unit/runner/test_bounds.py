"""The bounds of a budget that the runner watches."""

import threading

import pytest

from dspy_service.domain.job import TerminationReason
from workers.runner.bounds import MetricBound, ScoreBound
from workers.runner.failures import Stopped


class Switch:
    """Something that can be stopped, without a socket behind it."""

    def __init__(self) -> None:
        self.reason: TerminationReason | None = None
        self.message = ""

    def stop(self, reason: TerminationReason, message: str) -> None:
        self.reason, self.message = reason, message

    def check(self) -> None:
        if self.reason is not None:
            raise Stopped(self.reason, self.message)


def test_exactly_so_many_metric_calls_begin() -> None:
    bound = MetricBound(Switch(), 3)
    for _ in range(3):
        bound()

    with pytest.raises(Stopped):
        bound()
    with pytest.raises(Stopped, match="budget of 3 metric calls") as caught:
        bound()

    assert caught.value.reason == "budget_exhausted"


def test_threads_share_the_bound() -> None:
    bound, begun, lock = MetricBound(Switch(), 500), [0], threading.Lock()

    def call() -> None:
        try:
            while True:
                bound()
                with lock:
                    begun[0] += 1
        except Stopped:
            pass

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert begun == [500]


def test_without_a_bound_only_the_stage_decides() -> None:
    switch = Switch()
    bound = MetricBound(switch, None)
    for _ in range(1000):
        bound()

    switch.stop("target_reached", "enough")

    with pytest.raises(Stopped, match="enough"):
        bound()


@pytest.mark.parametrize("score", [0.3, 0.30000001, 0.1 + 0.2, (0.1 + 0.1 + 0.1) * 1, 0.3 - 1e-12])
def test_a_score_that_is_reached_ends_the_compile(score: float) -> None:
    bound = ScoreBound(Switch(), target=0.3, patience=None)
    bound.evaluated(0.2999, is_best=True)

    with pytest.raises(Stopped, match=r"reaches 0\.3") as caught:
        bound.evaluated(score, is_best=True)

    assert caught.value.reason == "target_reached"


def test_patience_counts_evaluations_in_a_row_without_a_new_best() -> None:
    bound = ScoreBound(Switch(), target=None, patience=2)
    for is_best in (True, False, True, False):
        bound.evaluated(0.5, is_best=is_best)

    with pytest.raises(Stopped, match="2 evaluations") as caught:
        bound.evaluated(0.5, is_best=False)

    assert caught.value.reason == "no_improvement"


def test_reaching_the_target_comes_before_losing_patience() -> None:
    bound = ScoreBound(Switch(), target=0.5, patience=1)

    with pytest.raises(Stopped) as caught:
        bound.evaluated(0.5, is_best=False)

    assert caught.value.reason == "target_reached"


def test_without_bounds_nothing_ends_but_a_stopped_stage_does() -> None:
    switch = Switch()
    bound = ScoreBound(switch, target=None, patience=None)
    for _ in range(100):
        bound.evaluated(0.0, is_best=False)

    switch.stop("budget_exhausted", "spent")

    with pytest.raises(Stopped, match="spent"):
        bound.evaluated(1.0, is_best=True)
