"""How the messages of a stream leave: in parts, shared by readers, and to nobody who takes none."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from starlette.types import Message

from dspy_service.api.sse import EventStreamResponse, OpenStreams, parts, write
from dspy_service.domain.events import Event, EventType
from dspy_service.usecases.watch_events import Told


async def test_a_client_that_takes_nothing_frees_its_place_and_is_told_to_come_back() -> None:
    story_is_over, takes, sent = asyncio.Event(), asyncio.Event(), list[bytes]()

    async def story() -> AsyncGenerator[Told, None]:
        try:
            while True:
                yield None
        finally:
            story_is_over.set()

    async def send(message: Message) -> None:
        if len(sent) == 3:
            await takes.wait()
        sent.append(message.get("body", b""))

    streams = OpenStreams()
    response = EventStreamResponse(story(), request_id="r1", open_streams=streams, send_seconds=0.01)
    async with asyncio.timeout(5):
        sending = asyncio.create_task(response.stream_response(send))

        await story_is_over.wait()
        open_while_it_is_stuck = streams.count
        takes.set()
        await sending

    assert open_while_it_is_stuck == 0
    assert sent[:3] == [b"", b"retry: 1500\n\n", b": still there\n\n"]
    assert [b'"error":"slow_reader"' in body for body in sent[3:]] == [True]


async def test_a_stream_that_is_cancelled_in_a_send_is_not_taken_for_a_slow_one() -> None:
    is_stuck, takes, sent = asyncio.Event(), asyncio.Event(), list[bytes]()

    async def story() -> AsyncGenerator[Told, None]:
        yield None

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if len(sent) == 2:
            is_stuck.set()
            await takes.wait()

    streams = OpenStreams()
    response = EventStreamResponse(story(), request_id="r1", open_streams=streams)
    async with asyncio.timeout(5):
        sending = asyncio.create_task(response.stream_response(send))
        await is_stuck.wait()
        sending.cancel()
        await asyncio.wait([sending])

    assert sending.cancelled()
    assert (len(sent), streams.count) == (2, 0)


def test_readers_who_are_told_the_same_share_its_bytes() -> None:
    now = datetime.now(UTC)
    page, other = ([Event(seq=seq, type=EventType.LOG, timestamp=now, attempt=1, data={})] for seq in (1, 2))

    first, second = write(page), write(page)
    different = write(other)

    assert first is second
    assert b"id: 1\n" in first
    assert b"id: 2\n" in different


def test_many_large_events_leave_in_parts_that_end_with_a_whole_message() -> None:
    events = [
        Event(seq=seq, type=EventType.LOG, timestamp=datetime.now(UTC), attempt=1, data={"message": "x" * 30_000})
        for seq in range(1, 21)
    ]

    sent = list(parts(events))

    assert b"".join(sent) == write(events)
    assert max(map(len, sent)) < 3 * 64 * 1024
    assert all(part.endswith(b"\n\n") for part in sent)


async def test_a_stream_does_not_outlive_its_key_for_ever() -> None:
    async def story() -> AsyncGenerator[Told, None]:
        while True:
            yield None

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    response = EventStreamResponse(story(), request_id="r1", open_streams=OpenStreams(), life_seconds=0.01)
    async with asyncio.timeout(5):
        await response.stream_response(send)

    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert not any(b"event: " in message.get("body", b"") for message in sent)
