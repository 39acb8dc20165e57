"""A model that answered and then fails: all calls of it, or one."""

import pytest
from dspy.lm15 import Message, Request, Response, ServerError

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from tests.support.lm_calls import ScriptedEngine, response
from tests.support.metered_engine import Clock, metering
from workers.lm.retry import RetryPolicy

_REQUEST = Request(model="wire", messages=(Message.user("hi"),))


async def test_an_outage_of_a_model_that_has_answered_is_borne_longer_than_any_number_of_attempts() -> None:
    clock = Clock()
    remaining: list[Response | Exception] = [response("first"), *[ServerError("down")] * 9, response("again")]

    async def handler(_request: Request) -> Response:
        answer = remaining.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    engine = metering(ScriptedEngine(handler), clock, retry=RetryPolicy(max_attempts=2))
    await engine.complete(_REQUEST)
    clock.now += 1

    answered = await engine.complete(_REQUEST)

    assert answered.response.message.text == "again"
    assert 60 < sum(clock.slept) < 300


async def test_an_outage_is_not_borne_for_ever() -> None:
    clock = Clock()
    answers = iter([response("first")])

    async def handler(_request: Request) -> Response:
        if (answer := next(answers, None)) is None:
            raise ServerError("down")
        return answer

    engine = metering(ScriptedEngine(handler), clock, retry=RetryPolicy(max_attempts=2))
    await engine.complete(_REQUEST)
    clock.now += 1

    with pytest.raises(ModelCallError) as caught:
        await engine.complete(_REQUEST)

    assert caught.value.kind == ModelErrorKind.SERVER
    assert 250 < sum(clock.slept) <= 300


async def test_a_request_that_fails_while_others_are_answered_has_its_attempts_and_no_more() -> None:
    clock = Clock()
    asked = []

    async def handler(request: Request) -> Response:
        if request is _REQUEST:
            asked.append(clock.now)
            clock.now += 0.1
            await engine.complete(Request(model="wire", messages=(Message.user("another"),)))
            raise ServerError("not this one")
        return response("ok")

    engine = metering(ScriptedEngine(handler), clock, retry=RetryPolicy(max_attempts=3))

    with pytest.raises(ModelCallError):
        await engine.complete(_REQUEST)

    assert len(asked) == 3
