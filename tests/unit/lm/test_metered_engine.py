"""One model under faults, with a clock of our own."""

import asyncio

import pytest
from dspy.lm15 import InvalidRequestError, Message, RateLimitError, Request, Response, ServerError

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.throttle import CallGrant, GrantUse, ProviderLimits
from tests.support.lm_calls import ScriptedEngine, response
from tests.support.metered_engine import Clock, metering
from tests.support.throttles import ScriptedThrottle
from workers.lm.provider_line import ProviderLine
from workers.lm.retry import RetryPolicy

_REQUEST = Request(model="wire", messages=(Message.user("hi"),))


def _failing(*errors: Exception) -> ScriptedEngine:
    remaining = list(errors)

    async def handler(_request: Request) -> Response:
        if remaining:
            raise remaining.pop(0)
        return response("ok")

    return ScriptedEngine(handler)


def _line(throttle: ScriptedThrottle, limits: ProviderLimits | None = None) -> ProviderLine:
    return ProviderLine("p", limits or ProviderLimits(), throttle=throttle, tenant="acme", job_id="j1")


async def test_a_rate_limit_is_waited_out_as_long_as_the_provider_asks() -> None:
    clock = Clock()
    engine = _failing(RateLimitError("slow down", retry_after=7), RateLimitError("slow down", retry_after=3))

    answered = await metering(engine, clock).complete(_REQUEST)

    assert answered.response.message.text == "ok"
    assert answered.cost_usd == 0.5
    assert clock.slept == [7, 3]


async def test_rate_limits_and_what_is_waited_for_them_are_counted_and_other_failures_are_not() -> None:
    clock = Clock()
    metered = metering(_failing(RateLimitError("slow down", retry_after=7), ServerError("a")), clock)

    await metered.complete(_REQUEST)

    assert (metered.rate_limits, metered.waited_seconds) == (1, 7.0)


async def test_a_call_that_waits_because_another_was_refused_is_counted_too() -> None:
    clock = Clock()
    metered = metering(_failing(RateLimitError("slow down", retry_after=7)), clock, max_in_flight=1)

    await asyncio.gather(metered.complete(_REQUEST), metered.complete(_REQUEST))

    assert metered.rate_limits == 1
    assert metered.waited_seconds > 7.0


async def test_server_errors_are_tried_again_with_longer_waits() -> None:
    clock = Clock()

    await metering(_failing(ServerError("a"), ServerError("b"), ServerError("c")), clock).complete(_REQUEST)

    assert clock.slept == [1, 2, 4]


async def test_a_refused_request_is_not_tried_again() -> None:
    clock = Clock()
    engine = _failing(InvalidRequestError("bad field", provider="openai", status=400))

    with pytest.raises(ModelCallError, match="bad field") as caught:
        await metering(engine, clock).complete(_REQUEST)

    assert caught.value.kind is ModelErrorKind.INVALID_REQUEST
    assert clock.slept == []


async def test_the_last_error_is_raised_when_it_gives_up() -> None:
    clock = Clock()
    errors = [ServerError(f"number {n}") for n in range(5)]
    metered = metering(_failing(*errors), clock, retry=RetryPolicy(max_attempts=3))

    with pytest.raises(ModelCallError, match="number 2") as caught:
        await metered.complete(_REQUEST)

    assert caught.value.kind is ModelErrorKind.SERVER


async def test_an_attempt_that_hangs_is_a_timeout() -> None:
    async def hang(_request: Request) -> None:
        await asyncio.Event().wait()

    metered = metering(ScriptedEngine(hang), Clock(), timeout_seconds=0.01, retry=RetryPolicy(max_attempts=1))

    with pytest.raises(ModelCallError, match=r"0\.01 s") as caught:
        await metered.complete(_REQUEST)

    assert caught.value.kind is ModelErrorKind.TIMEOUT


async def test_a_bug_in_an_engine_is_an_error_and_no_crash() -> None:
    with pytest.raises(ModelCallError, match="ZeroDivisionError") as caught:
        await metering(_failing(ZeroDivisionError("oops")), Clock()).complete(_REQUEST)

    assert caught.value.kind is ModelErrorKind.UNEXPECTED


async def test_no_more_calls_are_in_flight_than_allowed() -> None:
    running, peak = 0, 0

    async def busy(_request: Request) -> Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1
        return response("ok")

    metered = metering(ScriptedEngine(busy), Clock(), max_in_flight=2)

    await asyncio.gather(*(metered.complete(_REQUEST) for _ in range(9)))

    assert peak == 2


async def test_other_calls_wait_too_after_a_rate_limit() -> None:
    clock = Clock()
    metered = metering(_failing(RateLimitError("slow down", retry_after=5)), clock, max_in_flight=1)

    await asyncio.gather(metered.complete(_REQUEST), metered.complete(_REQUEST))

    assert clock.slept == [5, 5]


async def test_refusals_for_the_rate_use_up_no_attempt() -> None:
    clock = Clock()
    errors = [RateLimitError("slow down") for _ in range(40)]
    errors[20:20] = [ServerError("once"), ServerError("twice")]

    answered = await metering(_failing(*errors), clock, retry=RetryPolicy(max_attempts=3)).complete(_REQUEST)

    assert answered.response.message.text == "ok"
    assert sum(clock.slept) > 300


async def test_refusals_for_the_rate_are_borne_for_half_an_hour() -> None:
    clock = Clock()
    metered = metering(_failing(*[RateLimitError("slow down", retry_after=50) for _ in range(100)]), clock)

    with pytest.raises(ModelCallError, match="slow down"):
        await metered.complete(_REQUEST)

    assert sum(clock.slept) == 1_800


async def test_a_provider_that_counts_is_called_in_turn_and_told_the_tokens() -> None:
    throttle = ScriptedThrottle()
    engine = _failing()
    line = _line(throttle, ProviderLimits(tokens_per_minute=1_000))
    metered = metering(engine, Clock(), line=line)

    await metered.complete(_REQUEST)
    await metered.aclose()

    assert [wish.calls for wish in throttle.wishes] == [1]
    assert throttle.wishes[0].tokens > 200
    assert throttle.uses == [GrantUse(grant=throttle.wishes[0].grant, left=0, tokens=5)]


async def test_a_call_that_fails_leaves_its_turn() -> None:
    throttle = ScriptedThrottle()
    line = _line(throttle, ProviderLimits(max_in_flight=1))
    metered = metering(_failing(InvalidRequestError("bad", provider="openai", status=400)), Clock(), line=line)

    with pytest.raises(ModelCallError):
        await metered.complete(_REQUEST)
    await metered.aclose()

    assert [(use.grant, use.left) for use in throttle.uses] == [(throttle.wishes[0].grant, 0)]


async def test_a_refusal_is_told_to_all_workers_and_another_failure_to_none() -> None:
    throttle = ScriptedThrottle()
    errors = [ServerError("oops"), RateLimitError("slow down", retry_after=3), ServerError("oops")]
    metered = metering(_failing(*errors), Clock(), line=_line(throttle))

    await metered.complete(_REQUEST)
    await metered.aclose()

    assert [refusal.retry_after_seconds for refusal in throttle.refusals] == [3]


async def test_with_a_line_it_is_the_line_that_says_when_a_refused_call_goes_again() -> None:
    throttle, clock = ScriptedThrottle(), Clock()
    line = _line(throttle)
    metered = metering(_failing(RateLimitError("slow down", retry_after=50), RateLimitError("again")), clock, line=line)

    await metered.complete(_REQUEST)
    await metered.aclose()

    assert clock.slept == []
    assert len(throttle.wishes) == 2
    assert line.standstill.wait is None


async def test_calls_that_wait_in_line_have_one_patience_together() -> None:
    throttle, clock = ScriptedThrottle(), Clock()
    line = ProviderLine("p", ProviderLimits(), throttle=throttle, tenant="acme", job_id="j1", monotonic=clock.monotonic)
    for _ in range(181):
        line.standstill.note_refusal()
        clock.now += 10
    metered = metering(_failing(RateLimitError("slow down")), clock, line=line)

    with pytest.raises(ModelCallError, match="slow down"):
        await metered.complete(_REQUEST)

    await metered.aclose()


async def test_a_call_that_waits_for_its_turn_is_cancelled_at_once() -> None:
    throttle = ScriptedThrottle(lambda _wish: CallGrant(calls=0, wait_seconds=4))
    engine = _failing()
    metered = metering(engine, Clock(), line=_line(throttle, ProviderLimits(max_in_flight=1)))
    call = asyncio.create_task(metered.complete(_REQUEST))
    for _ in range(20):
        await asyncio.sleep(0)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await metered.aclose()
    assert engine.closed
    assert engine.requests == []
