"""``watch`` follows a job across broken connections: nothing lost, nothing doubled, and an end."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from dspy_service.client import (
    ApiError,
    Client,
    RequestRejectedError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    UnexpectedAnswerError,
    UnknownJobError,
)
from tests.unit.client.service import ScriptedService, refusal

PATH = "/jobs/j1/events"
END = 'event: end\ndata: {"status": "success", "termination_reason": "completed", "last_id": 5}\n\n'
HEAD = "retry: 1500\n\n"
HEARTBEAT = ": still there\n\n"


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream that may break off."""

    def __init__(self, *parts: str, breaks: bool) -> None:
        self._parts = parts
        self._breaks = breaks

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            yield part.encode()
        if self._breaks:
            message = "connection reset"
            raise httpx.ReadError(message)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


def event(seq: int) -> str:
    data = {"seq": seq, "type": "log", "timestamp": "2026-01-02T03:04:05Z", "attempt": 1, "data": {}, "mood": "good"}
    return f"id: {seq}\nevent: log\ndata: {json.dumps(data)}\n\n"


def error(code: str) -> str:
    return f"event: error\ndata: {json.dumps({'error': code, 'detail': 'Because.', 'request_id': 'r1'})}\n\n"


def stream(*parts: str, breaks: bool = False) -> httpx.Response:
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    return httpx.Response(200, headers=headers, stream=Body(HEAD, *parts, breaks=breaks))


def asked_after(service: ScriptedService) -> list[str]:
    return [request.headers["last-event-id"] for request in service.requests]


def watched(service: ScriptedService, *, after: int = 0) -> list[int]:
    with service.client() as client:
        return [event.seq for event in client.watch("j1", after=after)]


def troubled() -> ScriptedService:
    answers = [
        httpx.ConnectError("refused"),
        refusal(503, "store_unavailable", "Try again.", **{"retry-after": "5"}),
        stream(event(1), event(2), "id: 3\nevent: log\nda", breaks=True),
        stream(event(3), error("slow_reader")),
        stream(HEARTBEAT, event(3), event(4)),
        stream(event(5), HEARTBEAT, END),
    ]
    return ScriptedService({PATH: answers})


def test_it_yields_every_event_until_the_end() -> None:
    service = ScriptedService({PATH: [stream(event(1), HEARTBEAT, event(2), END, event(3))]})

    assert watched(service) == [1, 2]

    [request] = service.requests
    assert request.headers["accept"] == "text/event-stream"
    assert service.pauses == []


def test_it_starts_where_it_is_told() -> None:
    service = ScriptedService({PATH: [stream(event(8), END)]})

    assert watched(service, after=7) == [8]
    assert asked_after(service) == ["7"]


def test_it_resumes_where_it_stood_whatever_breaks() -> None:
    service = troubled()

    assert watched(service) == [1, 2, 3, 4, 5]
    assert asked_after(service) == ["0", "0", "0", "2", "3", "4"]
    assert service.pauses == [0.2, 5.0, 0.2, 0.2, 0.2]


async def test_the_asynchronous_client_does_the_same() -> None:
    service = troubled()

    async with service.async_client() as client:
        seen = [event.seq async for event in client.watch("j1")]

    assert seen == [1, 2, 3, 4, 5]
    assert asked_after(service) == ["0", "0", "0", "2", "3", "4"]


def test_missing_numbers_do_not_stop_it() -> None:
    service = ScriptedService({PATH: [stream('event: gap\ndata: {"from": 1, "to": 3}\n\n', event(4), END)]})

    assert watched(service) == [4]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.ConnectError("refused"), ServiceUnreachableError),
        (refusal(503, "store_unavailable", "Try again."), ServiceUnavailableError),
    ],
)
def test_it_gives_up_after_a_minute_without_a_word(
    answer: httpx.Response | httpx.TransportError, kind: type[Exception]
) -> None:
    service = ScriptedService({PATH: [answer]})

    with pytest.raises(kind):
        watched(service)

    assert 50 < sum(service.pauses) < 70


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(404, "job_not_found", "There is no job 'j1'."), UnknownJobError),
        (refusal(422, "invalid_request", []), RequestRejectedError),
        (stream(error("job_not_found")), UnknownJobError),
        (stream(error("artifact_corrupt")), ApiError),
        (stream("event: log\ndata: nonsense\n\n"), UnexpectedAnswerError),
        (httpx.Response(200, html="<p>Hello</p>"), UnexpectedAnswerError),
    ],
)
def test_what_time_does_not_heal_is_raised_at_once(answer: httpx.Response, kind: type[Exception]) -> None:
    service = ScriptedService({PATH: [answer]})

    with pytest.raises(kind):
        watched(service)

    assert service.pauses == []


def test_an_impatient_client_still_hears_the_next_sign_of_life() -> None:
    service = ScriptedService({PATH: [stream(END)]})

    with Client("http://service", timeout_seconds=2, transport=service.transport) as client:
        list(client.watch("j1"))

    assert service.requests[0].extensions["timeout"] == {"connect": 2, "read": 30.0, "write": 2, "pool": 2}
