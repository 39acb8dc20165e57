"""Without limits nobody asks, until a provider refuses somebody."""

import asyncio

import pytest

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.throttle import CallGrant
from tests.support.throttles import NO_LIMITS, Clock, Opened, ScriptedThrottle, opened, settled

__all__ = ["opened"]


async def test_without_limits_nobody_asks_and_pressure_is_looked_up_once_a_second(opened: Opened) -> None:
    throttle, clock = ScriptedThrottle(), Clock()
    line = opened(throttle, NO_LIMITS, clock)

    for seconds in (0.0, 0.5, 0.4, 0.2):
        clock.now += seconds
        turns = [await line.enter() for _ in range(10)]
        await settled()

    assert turns == [""] * 10
    assert throttle.wishes == []
    assert throttle.looks == 2


async def test_no_call_waits_for_the_look(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    throttle.is_answering.clear()
    line = opened(throttle, NO_LIMITS)

    async with asyncio.timeout(1):
        turn = await line.enter()

    assert turn == ""


async def test_after_a_refusal_the_store_is_told_and_every_call_asks(opened: Opened) -> None:
    throttle, clock = ScriptedThrottle(), Clock()
    line = opened(throttle, NO_LIMITS, clock)
    for _ in range(20):
        await line.enter()
        clock.now += 0.1

    line.refused(retry_after_seconds=3, call_seconds=0.5)
    line.refused(retry_after_seconds=None, call_seconds=0.2)
    await line.enter()

    assert [wish.calls for wish in throttle.wishes] == [1]
    (refusal,) = throttle.refusals
    assert refusal.retry_after_seconds == 3
    assert refusal.call_seconds == pytest.approx(0.2)
    assert refusal.calls_per_second == pytest.approx(10, rel=0.15)


async def test_a_look_that_is_older_than_a_refusal_changes_nothing(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    throttle.is_answering.clear()
    line = opened(throttle, NO_LIMITS)
    await line.enter()
    await settled()

    line.refused(retry_after_seconds=None, call_seconds=0)
    throttle.is_answering.set()
    await settled()
    await line.enter()

    assert len(throttle.wishes) == 1


async def test_when_pressure_is_over_nobody_asks_any_more(opened: Opened) -> None:
    throttle, clock = ScriptedThrottle(), Clock()
    throttle.is_pressed = True
    line = opened(throttle, NO_LIMITS, clock)
    await line.enter()
    await settled()
    await line.enter()
    asked = len(throttle.wishes)

    throttle.is_pressed = False
    clock.now += 2
    await line.enter()
    await settled()
    await line.enter()

    assert asked == 1
    assert len(throttle.wishes) == 2


async def test_a_look_at_a_store_that_is_away_stops_no_call(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    throttle.error = StoreUnavailableError("job store")
    line = opened(throttle, NO_LIMITS)

    turns = [await line.enter() for _ in range(3)]
    await settled()

    assert turns == [""] * 3


async def test_a_call_that_was_refused_goes_before_the_others(opened: Opened) -> None:
    throttle = ScriptedThrottle(lambda _wish: CallGrant(calls=1, wait_seconds=0.01))
    line = opened(throttle)
    order: list[str] = []

    async def call(name: str, *, first: bool = False) -> None:
        await line.enter(first=first)
        order.append(name)

    await asyncio.gather(call("a"), call("b"), call("refused", first=True))

    assert order[0] == "refused"
