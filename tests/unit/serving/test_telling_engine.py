"""One model under faults, told piece by piece, with a clock of our own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dspy.lm15 import (
    Message,
    RateLimitError,
    Request,
    Response,
    ServerError,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    ThinkingDelta,
    Usage,
)

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.throttle import ProviderLimits
from tests.support.lm_calls import response
from tests.support.throttles import LIMITS, ScriptedThrottle
from workers.lm.provider_line import ProviderLine
from workers.lm.retry import RetryPolicy
from workers.lm.target import Target
from workers.serving.engine import StreamedCall, StreamLimits, TellingEngine

_REQUEST = Request(model="wire", messages=(Message.user("hi"),))
_POLICY = RetryPolicy(max_attempts=3, first_delay_seconds=1.0, max_rate_limited_seconds=20.0)


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def text(self, piece: str) -> None:
        self.pieces.append(piece)


class Speaking:
    """A model that says its pieces, or raises what stands among them; a new list for each attempt."""

    def __init__(self, *attempts: list[Any]) -> None:
        self._attempts = list(attempts)
        self.samples: list[str] = []
        self.is_closed = False

    async def stream(self, _request: Request, *, sample: str) -> AsyncIterator[Any]:
        self.samples.append(sample)
        yield StreamStartEvent(id="r", model="wire")
        for piece in self._attempts.pop(0):
            await asyncio.sleep(0)
            if isinstance(piece, Exception):
                raise piece
            yield piece if not isinstance(piece, str) else StreamDeltaEvent(delta=TextDelta(text=piece, part_index=0))
        yield StreamEndEvent(finish_reason="stop", usage=Usage(input_tokens=3, output_tokens=2))

    async def complete(self, _request: Request, *, sample: str) -> Response:
        self.samples.append(sample)
        return response("".join(self._attempts.pop(0)))

    async def aclose(self) -> None:
        self.is_closed = True


def _engine(speaking: Speaking, *, streams: bool = True, slept: list[float] | None = None) -> TellingEngine:
    async def sleep(seconds: float) -> None:
        (slept if slept is not None else []).append(seconds)

    target = Target("model", "wire", speaking, lambda _request, _response: 0.5, streams=speaking if streams else None)
    limits = StreamLimits(retry=_POLICY)
    return TellingEngine(target, limits, sleep=sleep, monotonic=lambda: 100.0, jitter=lambda: 1.0)


async def test_the_pieces_together_are_the_answer() -> None:
    heard = Heard()

    answered = await _engine(Speaking(["Par", "is"])).complete(StreamedCall(_REQUEST, heard))

    assert heard.pieces == ["Par", "is"]
    assert answered.response.message.text == "Paris"
    assert (answered.tokens.prompt, answered.tokens.completion, answered.cost_usd) == (3, 2, 0.5)


async def test_a_model_that_cannot_stream_is_told_in_one_piece() -> None:
    heard = Heard()

    answered = await _engine(Speaking(["Paris"]), streams=False).complete(StreamedCall(_REQUEST, heard))

    assert heard.pieces == ["Paris"]
    assert answered.response.message.text == "Paris"


async def test_what_a_model_thinks_is_not_told() -> None:
    thought = StreamDeltaEvent(delta=ThinkingDelta(text="hm", part_index=0))
    answer = StreamDeltaEvent(delta=TextDelta(text="Paris", part_index=1))
    heard = Heard()

    answered = await _engine(Speaking([thought, answer])).complete(StreamedCall(_REQUEST, heard))

    assert heard.pieces == ["Paris"]
    assert answered.response.text == "Paris"


async def test_nothing_of_a_failed_attempt_is_in_the_answer() -> None:
    heard, slept = Heard(), []
    speaking = Speaking([ServerError("down")], [RateLimitError("slow", retry_after=7)], ["Paris"])

    answered = await _engine(speaking, slept=slept).complete(StreamedCall(_REQUEST, heard))

    assert answered.response.message.text == "Paris"
    assert heard.pieces == ["Paris"]
    assert slept == [1.0, 7]


async def test_a_call_is_not_made_again_once_a_piece_was_told() -> None:
    speaking = Speaking(["Par", ServerError("down")], ["never asked"])
    call = StreamedCall(_REQUEST, Heard())

    with pytest.raises(ModelCallError) as caught:
        await _engine(speaking).complete(call)

    assert caught.value.kind == ModelErrorKind.SERVER
    assert speaking.samples == [""]
    assert call.response().message.text == "Par"


async def test_a_policy_that_gives_up_raises_the_last_failure() -> None:
    speaking = Speaking(*([ServerError("down")] for _ in range(3)), ["never asked"])

    with pytest.raises(ModelCallError, match="down"):
        await _engine(speaking).complete(StreamedCall(_REQUEST, None))

    assert len(speaking.samples) == 3


async def test_an_answer_that_is_too_large_says_so_in_our_own_words() -> None:
    speaking = Speaking(["Par", ModelCallError(ModelErrorKind.PROVIDER, "The model's answer is too large.")])

    with pytest.raises(ModelCallError, match="too large"):
        await _engine(speaking).complete(StreamedCall(_REQUEST, Heard()))


async def test_a_stream_without_an_end_is_a_failure() -> None:
    class Endless(Speaking):
        async def stream(self, _request: Request, *, sample: str) -> AsyncIterator[Any]:  # noqa: ARG002  # the port's
            yield StreamStartEvent(id="r", model="wire")
            yield StreamDeltaEvent(delta=TextDelta(text="Par", part_index=0))

    with pytest.raises(ModelCallError):
        await _engine(Endless()).complete(StreamedCall(_REQUEST, Heard()))


async def test_a_call_waits_for_its_turn_and_leaves_it() -> None:
    throttle = ScriptedThrottle()
    line = ProviderLine("p", LIMITS, throttle=throttle, tenant="acme", job_id="serving")

    answered = await _engine(Speaking(["Paris"])).complete(StreamedCall(_REQUEST, None), line=line)
    await line.aclose()

    assert answered.response.message.text == "Paris"
    assert len(throttle.wishes) == 1


async def test_a_refusal_is_told_to_all_who_wait_at_the_provider() -> None:
    throttle = ScriptedThrottle()
    line = ProviderLine("p", ProviderLimits(), throttle=throttle, tenant="acme", job_id="serving")
    speaking = Speaking([RateLimitError("slow", retry_after=1)], ["Paris"])

    await _engine(speaking).complete(StreamedCall(_REQUEST, None), line=line)
    await line.aclose()

    assert speaking.samples == ["", ""]
    assert [refusal.retry_after_seconds for refusal in throttle.refusals] == [1]
