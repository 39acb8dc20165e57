"""What a confined program asks of its model is checked here and carried out with the version's model only."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dspy._vendor.lm15.serde import request_to_dict
from dspy.lm15 import Message, Request, Response, TextPart, Usage

from dspy_service.domain.errors import ModelCallError, ProtocolError
from dspy_service.domain.frames import Frame, FrameReader
from dspy_service.domain.model_errors import ModelErrorKind
from workers.lm.meter import Meter
from workers.lm.target import Target
from workers.serving.answer_cache import ROLE
from workers.serving.engine import StreamLimits, TellingEngine
from workers.serving.hosting.hosted_calls import HostedCalls, Relay
from workers.serving.lm import RunCalls


class Model:
    """Answers with one text, or fails, or says nothing until it is let."""

    def __init__(self, text: str = "hi", *, error: Exception | None = None, is_quiet: bool = False) -> None:
        self.asked: list[Request] = []
        self.samples: list[str] = []
        self._text = text
        self._error = error
        self._is_quiet = is_quiet

    async def complete(self, request: Request, *, sample: str) -> Response:
        self.asked.append(request)
        self.samples.append(sample)
        if self._is_quiet:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        message = Message.assistant([TextPart(self._text)])
        return Response(
            id="r", model="m", message=message, finish_reason="stop", usage=Usage(input_tokens=1, output_tokens=1)
        )

    async def aclose(self) -> None:
        pass


class Asked:
    """The calls of one run, and what the program hears of them."""

    def __init__(self, model: Model, *, max_calls: int = 10) -> None:
        target = Target("openai/m@http://10.0.0.1", "wire", model, lambda _request, _response: 0.0)
        self.run = RunCalls(tenant="acme", meter=Meter({ROLE: "m"}))
        self.calls = HostedCalls(self.run, TellingEngine(target, StreamLimits()), max_tokens=100, max_calls=max_calls)
        self._reader = FrameReader()
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()

    def ask(self, number: object = 1, **changes: Any) -> None:  # noqa: ANN401  # of the frame
        request = request_to_dict(Request(model="openai/another", messages=(Message.user("hello"),)))
        frame = {"t": "lm", "id": number, "request": request, "rollout_id": None, "candidate": 0, "tells": True}
        self.calls.ask({**frame, **changes}, self._hear)

    def _hear(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            self._frames.put_nowait(frame)

    async def heard(self) -> AsyncIterator[Frame]:
        while True:
            frame = await asyncio.wait_for(self._frames.get(), 10)
            yield frame
            if frame["t"] == "answer":
                return


async def _all(asked: Asked) -> list[Frame]:
    return [frame async for frame in asked.heard()]


async def test_the_answer_comes_after_its_pieces_from_the_versions_model() -> None:
    model = Model("hello there")
    asked = Asked(model)

    asked.ask()
    *pieces, answer = await _all(asked)

    assert "".join(piece["text"] for piece in pieces) == "hello there"
    assert answer["response"]["message"]["parts"][0]["text"] == "hello there"
    assert model.asked[0].model == "wire"
    assert asked.run.meter.usage().total_calls == 1


async def test_nothing_is_told_where_nobody_listens() -> None:
    asked = Asked(Model())

    asked.ask(tells=False)

    assert [frame["t"] for frame in await _all(asked)] == ["answer"]


def test_half_a_character_never_travels_alone() -> None:
    told: list[str] = []
    reader = FrameReader()
    relay = Relay(3, lambda data: told.extend(frame["text"] for frame in reader.feed(data)))

    for piece in ("one \ud83d", "\ude00", "", " two\ud83d"):
        relay.text(piece)

    assert told == ["one ", "\U0001f600", " two"]


async def test_samples_are_told_apart() -> None:
    model = Model()
    asked = Asked(model)

    asked.ask(1, rollout_id=7, candidate=2)
    await _all(asked)

    assert model.samples == ["7:2"]


async def test_a_failed_call_is_told_without_the_address_and_remembered() -> None:
    asked = Asked(Model(error=ModelCallError(ModelErrorKind.AUTH, "no", model="openai/m@http://10.0.0.1")))

    asked.ask(4)
    (answer,) = await _all(asked)

    assert (answer["id"], answer["error"]["kind"], answer["error"]["model"]) == (4, "auth", "openai/m")
    error = asked.calls.failed(4)
    assert error is not None
    assert error.failed.kind == ModelErrorKind.AUTH


@pytest.mark.parametrize(
    "changes",
    [
        {"request": {"model": "m", "messages": [], "extensions": {}}},
        {"request": "hello"},
        {"request": {"model": "m", "messages": [], "config": {"max_tokens": 101}}},
        {"candidate": -1},
        {"candidate": True},
        {"rollout_id": [1]},
        {"rollout_id": "x" * 300},
    ],
    ids=["extensions", "text", "tokens", "negative", "bool", "list", "long"],
)
async def test_what_no_program_may_ask_is_refused(changes: dict[str, Any]) -> None:
    model = Model()
    asked = Asked(model)

    asked.ask(**changes)
    (answer,) = await _all(asked)

    assert answer["error"]["kind"] == "refused"
    assert model.asked == []


async def test_a_run_makes_so_many_calls_and_no_more() -> None:
    model = Model()
    asked = Asked(model, max_calls=1)
    asked.ask(1)
    await _all(asked)

    asked.ask(2)
    (answer,) = await _all(asked)

    assert answer["error"]["kind"] == "budget_exhausted"
    assert len(model.asked) == 1
    for number in range(3, 102):
        asked.ask(number)
    with pytest.raises(ProtocolError):
        asked.ask(102)


async def test_closing_cancels_what_is_in_flight() -> None:
    model = Model(is_quiet=True)
    asked = Asked(model)
    asked.ask()
    await asyncio.sleep(0)
    assert (asked.calls.pending, asked.calls.pending_bytes > 0) == (1, True)

    await asked.calls.aclose()

    assert (asked.calls.pending, asked.calls.pending_bytes) == (0, 0)


async def test_a_call_without_a_number_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError):
        Asked(Model()).ask(None)
