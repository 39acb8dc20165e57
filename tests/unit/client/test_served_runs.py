"""What the clients do with calls of programs and their runs; a stream is followed across broken connections."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest

from dspy_service.client import ApiError, RequestRejectedError, SubmissionError, UnexpectedAnswerError
from dspy_service.domain.serving.run import RunOptions
from dspy_service.domain.serving.run_events import RunEvent
from tests.unit.client.service import ScriptedService, refusal

NOW = "2026-01-02T03:04:05.000001Z"
START = {"type": "start", "program": "qa", "version": 1, "model": "demo/in-context", "mood": "good"}
FINAL = {"type": "final", "prediction": {"answer": "Hello"}, "answer": "Hello", "usage": None}
END = {"type": "end", "status": "completed"}
PREDICTION = {
    "run_id": "run_1",
    "program": "qa",
    "version": 1,
    "status": "completed",
    "prediction": {"answer": "Hello"},
    "answer": "Hello",
    "usage": None,
    "cached": False,
    "finish_reason": "stop",
    "mood": "good",
}
RUN = {
    "run_id": "run_1",
    "program": "qa",
    "version": 1,
    "status": "cancelled",
    "inputs": {"question": "Hi"},
    "conversation_id": None,
    "message_id": None,
    "on_disconnect": "cancel",
    "created_at": NOW,
    "started_at": None,
    "first_token_at": None,
    "completed_at": NOW,
    "last_seq": 3,
    "cancel_reason": "asked",
    "usage": None,
    "finish_reason": None,
    "error": None,
    "prediction": None,
}
PING = 'event: ping\ndata: {"type": "ping", "t": 1.5, "last_seq": 0}\n\n'
STREAM = "/programs/qa/predict/stream"
EVENTS = "/runs/run_1/events"
QUESTION = {"question": "Hi"}


def token(text: str, offset: int) -> dict[str, object]:
    return {"type": "token", "field": "answer", "predictor": "self", "text": text, "offset": offset}


def message(seq: int, fact: dict[str, object]) -> str:
    data = {"seq": seq, "run_id": "run_1", "timestamp": NOW, **fact}
    return f"id: {seq}\nevent: {fact['type']}\ndata: {json.dumps(data)}\n\n"


def trouble(code: str, *, retryable: bool) -> str:
    data = {"type": "error", "error": {"code": code, "message": "Because.", "retryable": retryable}, "request_id": "r1"}
    return f"event: error\ndata: {json.dumps(data)}\n\n"


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream that may break off."""

    def __init__(self, *parts: str, breaks: bool) -> None:
        self._parts = parts
        self._breaks = breaks

    def __iter__(self) -> Iterator[bytes]:
        yield from (part.encode() for part in self._parts)
        if self._breaks:
            message = "connection reset"
            raise httpx.ReadError(message)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


def answers(body: object, *, status: int = 200) -> list[httpx.Response]:
    """Answer two clients, one of each kind."""
    return [httpx.Response(status, json=body) for _ in range(2)]


def stream(*parts: str, breaks: bool = False) -> httpx.Response:
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    return httpx.Response(200, headers=headers, stream=Body("retry: 1500\n\n", *parts, breaks=breaks))


STORY = [message(1, START), message(2, token("Hell", 0)), message(3, token("o", 4)), message(4, FINAL), message(5, END)]

Read = Callable[[ScriptedService], list[RunEvent]]


def read_blocking(service: ScriptedService) -> list[RunEvent]:
    return list(service.client().programs.stream("qa", QUESTION, idempotency_key="k1"))


def read_asynchronously(service: ScriptedService) -> list[RunEvent]:
    async def read() -> list[RunEvent]:
        async with service.async_client() as client:
            return [event async for event in client.programs.stream("qa", QUESTION, idempotency_key="k1")]

    return asyncio.run(read())


both = pytest.mark.parametrize("read", [read_blocking, read_asynchronously], ids=["blocking", "asynchronous"])


def kinds(events: list[RunEvent]) -> list[str]:
    return [event.fact.type for event in events]


@both
def test_a_call_is_read_along_to_its_end(read: Read) -> None:
    service = ScriptedService({STREAM: [stream(PING, *STORY, "data: never read\n\n")]})

    events = read(service)

    assert kinds(events) == ["start", "token", "token", "final", "end"]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert service.body() == {"inputs": QUESTION}
    assert service.requests[0].headers["idempotency-key"] == "k1"


@both
def test_a_broken_stream_goes_on_where_it_broke(read: Read) -> None:
    service = ScriptedService({STREAM: [stream(*STORY[:2], breaks=True)], EVENTS: [stream(*STORY[1:])]})

    events = read(service)

    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert [(request.method, request.url.path) for request in service.requests] == [("POST", STREAM), ("GET", EVENTS)]
    assert service.requests[1].headers["last-event-id"] == "2"
    assert service.requests[1].content == b""


@both
def test_a_call_that_broke_before_its_run_had_a_name_is_sent_again(read: Read) -> None:
    service = ScriptedService({STREAM: [httpx.ReadError("reset"), stream(PING, breaks=True), stream(*STORY)]})

    events = read(service)

    assert kinds(events)[-1] == "end"
    assert {request.headers["idempotency-key"] for request in service.requests} == {"k1"}
    assert [json.loads(request.content) for request in service.requests] == [{"inputs": QUESTION}] * 3


@both
def test_a_reader_that_was_too_slow_comes_back(read: Read) -> None:
    slow = trouble("slow_consumer", retryable=True)
    service = ScriptedService({STREAM: [stream(*STORY[:3], slow)], EVENTS: [stream(*STORY[3:])]})

    assert [event.seq for event in read(service)] == [1, 2, 3, 4, 5]


@both
def test_a_reader_that_is_told_that_there_is_nothing_more_stops(read: Read) -> None:
    service = ScriptedService({STREAM: [stream(*STORY[:4], breaks=True)], EVENTS: [httpx.Response(204)]})

    assert kinds(read(service)) == ["start", "token", "token", "final"]


@both
def test_trouble_that_lasts_is_raised(read: Read) -> None:
    service = ScriptedService({STREAM: [stream(STORY[0], trouble("run_log_gone", retryable=False))]})

    with pytest.raises(ApiError) as raised:
        read(service)

    assert (raised.value.code, raised.value.request_id, raised.value.status_code) == ("run_log_gone", "r1", 404)


@both
def test_a_call_that_is_refused_is_raised(read: Read) -> None:
    problem = [{"field": "question", "message": "is required (str)"}]
    service = ScriptedService({STREAM: [refusal(422, "invalid_request", problem)]})

    with pytest.raises(RequestRejectedError) as raised:
        read(service)

    assert raised.value.problems[0].field == "question"


@both
@pytest.mark.parametrize("odd", ["data: {}\n\n", "data: nothing\n\n", 'data: {"seq": 1}\n\n'])
def test_what_is_no_event_is_an_unexpected_answer(odd: str, read: Read) -> None:
    service = ScriptedService({STREAM: [stream(odd)]})

    with pytest.raises(UnexpectedAnswerError):
        read(service)


async def test_a_run_is_watched_from_a_number() -> None:
    service = ScriptedService({EVENTS: [stream(*STORY[2:]), stream(*STORY[2:])]})

    blocking = list(service.client().runs.watch("run_1", after=2))
    async with service.async_client() as client:
        asynchronous = [event async for event in client.runs.watch("run_1", after=2)]

    assert [event.seq for event in blocking] == [3, 4, 5]
    assert asynchronous == blocking
    assert [request.headers["last-event-id"] for request in service.requests] == ["2", "2"]


async def test_a_program_is_called_with_options() -> None:
    service = ScriptedService({"/programs/qa@v2/predict": answers(PREDICTION)})
    options = RunOptions(temperature=0.5)

    whole = service.client().programs.predict("qa@v2", QUESTION, options=options, on_disconnect="continue")
    async with service.async_client() as client:
        again = await client.programs.predict("qa@v2", QUESTION, options={"temperature": 0.5}, on_disconnect="continue")

    assert whole == again
    assert whole.prediction == {"answer": "Hello"}
    assert service.body(0)["options"]["temperature"] == service.body(1)["options"]["temperature"] == 0.5
    assert service.body(1) == {"inputs": QUESTION, "options": {"temperature": 0.5}, "on_disconnect": "continue"}


async def test_a_batch_is_sent_as_one_call() -> None:
    found = {
        "object": "list",
        "failed": 1,
        "data": [
            {"index": 0, "result": PREDICTION, "problem": None},
            {"index": 1, "result": None, "problem": {"error": "invalid_request", "detail": "No.", "run_id": None}},
        ],
    }
    service = ScriptedService({"/programs/qa/predict": answers(found)})

    blocking = service.client().programs.predict_batch("qa", [QUESTION, {}])
    async with service.async_client() as client:
        asynchronous = await client.programs.predict_batch("qa", [QUESTION, {}])

    assert blocking == asynchronous
    assert [item.result is not None for item in blocking.data] == [True, False]
    assert service.body() == {"batch": [QUESTION, {}]}


async def test_a_run_is_looked_at_and_ended() -> None:
    page = {
        "object": "list",
        "data": [{"seq": 1, "run_id": "run_1", "timestamp": NOW, **START}],
        "has_more": False,
        "last_id": 1,
    }
    service = ScriptedService(
        {
            "/runs/run_1": answers(RUN),
            EVENTS: answers(page),
            "/runs/run_1/cancel": answers(RUN, status=202),
            "/programs/qa/openapi.json": answers({"openapi": "3.1.0"}),
        }
    )
    client = service.client()

    blocking = (
        client.runs.get("run_1"),
        client.runs.events("run_1", after=0),
        client.runs.cancel("run_1"),
        client.programs.openapi("qa"),
    )
    async with service.async_client() as other:
        asynchronous = (
            await other.runs.get("run_1"),
            await other.runs.events("run_1", after=0),
            await other.runs.cancel("run_1"),
            await other.programs.openapi("qa"),
        )

    assert blocking == asynchronous
    assert blocking[0].cancel_reason == "asked"
    assert blocking[1].data[0]["type"] == "start"


def test_inputs_that_are_no_json_are_refused_before_anything_is_sent() -> None:
    service = ScriptedService({})

    for value in (float("nan"), object()):
        with pytest.raises(SubmissionError):
            service.client().programs.predict("qa", {"question": value})

    assert service.requests == []
