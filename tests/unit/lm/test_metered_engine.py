"""One model under faults, with a clock of our own."""

import asyncio
from typing import Any

import pytest
from dspy.lm15 import InvalidRequestError, Message, RateLimitError, Request, Response, ServerError

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from tests.support.lm_calls import ScriptedEngine, response, target
from workers.lm.engine import CallLimits, MeteredEngine
from workers.lm.retry import RetryPolicy

_REQUEST = Request(model="wire", messages=(Message.user("hi"),))


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


def _failing(*errors: Exception) -> ScriptedEngine:
    remaining = list(errors)

    async def handler(_request: Request) -> Response:
        if remaining:
            raise remaining.pop(0)
        return response("ok")

    return ScriptedEngine(handler)


def _metered(engine: ScriptedEngine, clock: Clock, **limits: Any) -> MeteredEngine:  # noqa: ANN401  # fields of CallLimits
    made = CallLimits(**{"retry": RetryPolicy(first_delay_seconds=1.0), **limits})
    return MeteredEngine(target(engine), made, sleep=clock.sleep, monotonic=clock.monotonic, jitter=lambda: 1.0)


async def test_a_rate_limit_is_waited_out_as_long_as_the_provider_asks() -> None:
    clock = Clock()
    engine = _failing(RateLimitError("slow down", retry_after=7), RateLimitError("slow down", retry_after=3))

    answered = await _metered(engine, clock).complete(_REQUEST)

    assert answered.response.message.text == "ok"
    assert answered.cost_usd == 0.5
    assert clock.slept == [7, 3]


async def test_server_errors_are_tried_again_with_longer_waits() -> None:
    clock = Clock()

    await _metered(_failing(ServerError("a"), ServerError("b"), ServerError("c")), clock).complete(_REQUEST)

    assert clock.slept == [1, 2, 4]


async def test_a_refused_request_is_not_tried_again() -> None:
    clock = Clock()
    engine = _failing(InvalidRequestError("bad field", provider="openai", status=400))

    with pytest.raises(ModelCallError, match="bad field") as caught:
        await _metered(engine, clock).complete(_REQUEST)

    assert caught.value.kind is ModelErrorKind.INVALID_REQUEST
    assert clock.slept == []


async def test_the_last_error_is_raised_when_it_gives_up() -> None:
    clock = Clock()
    errors = [ServerError(f"number {n}") for n in range(5)]
    metered = _metered(_failing(*errors), clock, retry=RetryPolicy(max_attempts=3))

    with pytest.raises(ModelCallError, match="number 2") as caught:
        await metered.complete(_REQUEST)

    assert caught.value.kind is ModelErrorKind.SERVER


async def test_an_attempt_that_hangs_is_a_timeout() -> None:
    async def hang(_request: Request) -> None:
        await asyncio.Event().wait()

    metered = _metered(ScriptedEngine(hang), Clock(), timeout_seconds=0.01, retry=RetryPolicy(max_attempts=1))

    with pytest.raises(ModelCallError, match=r"0\.01 s") as caught:
        await metered.complete(_REQUEST)

    assert caught.value.kind is ModelErrorKind.TIMEOUT


async def test_a_bug_in_an_engine_is_an_error_and_no_crash() -> None:
    with pytest.raises(ModelCallError, match="ZeroDivisionError") as caught:
        await _metered(_failing(ZeroDivisionError("oops")), Clock()).complete(_REQUEST)

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

    metered = _metered(ScriptedEngine(busy), Clock(), max_in_flight=2)

    await asyncio.gather(*(metered.complete(_REQUEST) for _ in range(9)))

    assert peak == 2


async def test_other_calls_wait_too_after_a_rate_limit() -> None:
    clock = Clock()
    metered = _metered(_failing(RateLimitError("slow down", retry_after=5)), clock, max_in_flight=1)

    await asyncio.gather(metered.complete(_REQUEST), metered.complete(_REQUEST))

    assert clock.slept == [5, 5]
