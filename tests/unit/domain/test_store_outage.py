"""Waiting for a store that is away."""

import asyncio

import pytest

from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.store_outage import repeat_while_away


class Effect:
    """Fails with each of these errors, then answers how often it was tried."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tries = 0

    async def __call__(self) -> int:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.tries


def _away(times: int) -> Effect:
    return Effect(*[StoreUnavailableError("job store") for _ in range(times)])


async def test_it_is_tried_until_the_store_answers() -> None:
    effect = _away(3)

    assert await repeat_while_away(effect, longest_pause_seconds=0.001) == 4


async def test_one_outage_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await repeat_while_away(_away(3), longest_pause_seconds=0.001)

    assert [record.message.partition(". ")[0] for record in caplog.records] == [
        "Something waits for a store: The job store does not answer"
    ]


async def test_a_store_that_answers_leaves_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await repeat_while_away(_away(0))

    assert caplog.records == []


async def test_it_is_given_up_when_no_try_may_begin_any_more() -> None:
    effect = _away(2)

    with pytest.raises(StoreUnavailableError):
        await repeat_while_away(effect, at_most_seconds=0)

    assert effect.tries == 1


async def test_it_is_given_up_when_it_is_over() -> None:
    effect = _away(5)

    with pytest.raises(StoreUnavailableError):
        await repeat_while_away(effect, is_over=lambda: effect.tries == 2, longest_pause_seconds=0.001)

    assert effect.tries == 2


async def test_any_other_error_ends_it_at_once() -> None:
    effect = Effect(StoreUnavailableError("job store"), LeaseLostError("j", 1))

    with pytest.raises(LeaseLostError):
        await repeat_while_away(effect, longest_pause_seconds=0.001)

    assert effect.tries == 2


async def test_pauses_grow_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)

    await repeat_while_away(_away(6))

    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
