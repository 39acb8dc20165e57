"""A program that ends its process again and again waits longer each time."""

import pytest

from dspy_service.domain.serving.run import RunError
from workers.serving.hosting.crashes import Crashes
from workers.serving.run_errors import KnownRunError

TOLD = RunError(code="worker_lost", message="It ended with exit code 7.", retryable=True)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _wait(crashes: Crashes) -> float:
    try:
        crashes.refuse_hot("p")
    except KnownRunError as error:
        return error.told.retry_after_seconds or 0.0
    return 0.0


def test_the_first_end_costs_nothing_and_each_further_one_twice_as_long() -> None:
    clock = Clock()
    crashes = Crashes(clock)

    waits = []
    for _ in range(8):
        crashes.note("p", TOLD)
        waits.append(_wait(crashes))

    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_the_wait_is_over_when_its_time_is() -> None:
    clock = Clock()
    crashes = Crashes(clock)
    crashes.note("p", TOLD)
    crashes.note("p", TOLD)

    clock.now += 1.0

    assert _wait(crashes) == 0.0


def test_what_is_long_ago_does_not_count() -> None:
    clock = Clock()
    crashes = Crashes(clock)
    crashes.note("p", TOLD)
    crashes.note("p", TOLD)
    clock.now += 61.0

    crashes.note("p", TOLD)

    assert _wait(crashes) == 0.0


def test_others_are_not_held_up() -> None:
    crashes = Crashes(Clock())
    crashes.note("p", TOLD)
    crashes.note("p", TOLD)

    crashes.refuse_hot("q")

    with pytest.raises(KnownRunError, match="exit code 7"):
        crashes.refuse_hot("p")
