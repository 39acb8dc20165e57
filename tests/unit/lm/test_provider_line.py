"""Where calls wait for their turn, and what the store is told about them."""

import asyncio

import pytest

from dspy_service.adapters.memory import MemoryCallThrottle
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.throttle import CallGrant, CallWish, GrantUse, ProviderLimits
from tests.support.throttles import Clock, Opened, ScriptedThrottle, grant_all, opened, settled, told, until_asked
from workers.lm.provider_line import ProviderLine

__all__ = ["opened"]


async def test_calls_that_wait_together_are_asked_for_once(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    line = opened(throttle)

    turns = await asyncio.gather(*(line.enter(tokens=100) for _ in range(64)))

    assert [(wish.calls, wish.tokens, wish.tenant, wish.job_id) for wish in throttle.wishes] == [
        (64, 6_400, "acme", "j1")
    ]
    assert turns == [throttle.wishes[0].grant] * 64


async def test_those_that_may_not_go_yet_ask_again_when_they_are_told_to(opened: Opened) -> None:
    throttle = ScriptedThrottle(lambda _wish: CallGrant(calls=2, is_counted=False, wait_seconds=0.01))
    line = opened(throttle)

    await asyncio.gather(*(line.enter() for _ in range(5)))

    assert [wish.calls for wish in throttle.wishes] == [5, 3, 1]
    assert len({wish.grant for wish in throttle.wishes}) == 3


async def test_a_new_call_does_not_ask_before_the_time(opened: Opened) -> None:
    throttle = ScriptedThrottle(lambda _wish: CallGrant(calls=0, wait_seconds=4))
    line = opened(throttle)
    waiting = [asyncio.create_task(line.enter())]
    await until_asked(throttle)

    waiting.append(asyncio.create_task(line.enter()))
    await settled()

    assert [wish.calls for wish in throttle.wishes] == [1]
    for task in waiting:
        task.cancel()


async def test_calls_that_end_together_are_told_together_with_their_tokens(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    line = opened(throttle)
    turns = await asyncio.gather(*(line.enter() for _ in range(3)))

    line.leave(turns[0], tokens=10)
    line.leave(turns[1], tokens=20)

    await told(throttle, GrantUse(grant=turns[0], left=1, tokens=30))
    line.leave(turns[2], tokens=5)
    await told(throttle, GrantUse(grant=turns[0], left=1, tokens=30), GrantUse(grant=turns[0], left=0, tokens=5))


async def test_a_call_that_ends_lets_those_ask_that_were_told_to_wait(opened: Opened) -> None:
    granted = iter([CallGrant(calls=1, is_counted=True, wait_seconds=4), CallGrant(calls=1, is_counted=True)])
    throttle = ScriptedThrottle(lambda _wish: next(granted))
    line = opened(throttle)
    first, second = asyncio.create_task(line.enter()), asyncio.create_task(line.enter())
    turn = await first

    line.leave(turn)

    async with asyncio.timeout(1):
        await second
    assert throttle.uses == [GrantUse(grant=turn, left=0)]


async def test_a_call_that_waits_can_be_cancelled_at_once(opened: Opened) -> None:
    throttle = ScriptedThrottle(lambda _wish: CallGrant(calls=0, wait_seconds=0.01))
    line = opened(throttle)
    waiting = [asyncio.create_task(line.enter()) for _ in range(3)]
    await until_asked(throttle)

    waiting[1].cancel()
    throttle.script = grant_all
    ended = await asyncio.gather(*waiting, return_exceptions=True)

    assert isinstance(ended[1], asyncio.CancelledError)
    assert throttle.wishes[-1].calls == 2


async def test_what_was_granted_to_a_call_that_is_gone_is_given_back(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    throttle.is_answering.clear()
    line = opened(throttle)
    waiting = [asyncio.create_task(line.enter()) for _ in range(3)]
    await until_asked(throttle)
    waiting[0].cancel()
    await settled()

    throttle.is_answering.set()
    turns = await asyncio.gather(*waiting[1:])

    await told(throttle, GrantUse(grant=turns[0], left=2))


async def test_a_turn_that_comes_together_with_a_cancel_is_given_back(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    throttle.is_answering.clear()
    line = opened(throttle)
    waiting = asyncio.create_task(line.enter())
    await until_asked(throttle)

    def cancel_in_the_same_moment(wish: CallWish) -> CallGrant:
        asyncio.get_running_loop().call_soon(waiting.cancel)
        return grant_all(wish)

    throttle.script = cancel_in_the_same_moment
    throttle.is_answering.set()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    await told(throttle, GrantUse(grant=throttle.wishes[0].grant, left=0))


async def test_while_the_store_is_away_calls_wait_and_the_same_wish_is_sent_again(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    throttle.error = StoreUnavailableError("job store")
    line = opened(throttle)
    waiting = asyncio.create_task(line.enter())
    await until_asked(throttle, times=2)

    throttle.error = None
    turn = await waiting

    assert {wish.grant for wish in throttle.wishes} == {turn}


async def test_calls_that_take_long_are_named_again(opened: Opened) -> None:
    throttle, clock = ScriptedThrottle(), Clock()
    line = opened(throttle, clock=clock)
    turn = await line.enter()
    await settled()

    clock.now += 6
    await line.enter()

    assert GrantUse(grant=turn, left=1) in throttle.uses


async def test_closing_gives_everything_back_and_lets_nobody_wait(opened: Opened) -> None:
    throttle = ScriptedThrottle(lambda _wish: CallGrant(calls=1, is_counted=True, wait_seconds=4))
    line = opened(throttle)
    first, second = asyncio.create_task(line.enter()), asyncio.create_task(line.enter())
    turn = await first

    await line.aclose()
    await line.aclose()

    with pytest.raises(asyncio.CancelledError):
        await second
    assert throttle.uses == [GrantUse(grant=turn, left=0)]


async def test_closing_while_the_store_is_away_is_quiet(opened: Opened) -> None:
    throttle = ScriptedThrottle()
    line = opened(throttle)
    await line.enter()
    throttle.error = StoreUnavailableError("job store")

    await line.aclose()

    assert throttle.reports == []


async def test_an_error_of_our_own_is_heard_by_every_call_that_waits(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    throttle = ScriptedThrottle()
    throttle.error = ZeroDivisionError("oops")
    line = opened(throttle)

    ended = await asyncio.gather(line.enter(), line.enter(), return_exceptions=True)

    assert [type(error) for error in ended] == [ZeroDivisionError] * 2
    assert "Nobody asks for turns at p" in caplog.text


async def test_a_limit_that_is_shared_by_two_jobs_is_kept(opened: Opened) -> None:
    throttle, running, peak = MemoryCallThrottle(), 0, 0

    async def call(line: ProviderLine) -> None:
        nonlocal running, peak
        turn = await line.enter()
        running += 1
        peak = max(peak, running)
        await settled()
        running -= 1
        line.leave(turn)

    limits = ProviderLimits(max_in_flight=5)
    await asyncio.gather(*(call(line) for line in (opened(throttle, limits), opened(throttle, limits)) * 20))

    assert peak == 5
