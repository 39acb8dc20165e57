"""Writes a story, such as a job's, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Generic, Self, TypeVar

import pydantic_core
from fastapi.responses import StreamingResponse
from starlette.types import Send

from dspy_service.domain.errors import ServiceError, SlowReaderError
from dspy_service.domain.events import Event
from dspy_service.domain.redaction import redact
from dspy_service.domain.views import EventGap, StreamEnd
from dspy_service.usecases.watch_events import Told

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 10.0  # proxies close what is silent for longer, mostly after 30 or 60 s
COME_BACK = b"retry: 1500\n\n"
"""Tells an ``EventSource`` how soon to come back, in milliseconds."""
_PART_BYTES = 64 * 1024  # as much as uvicorn lets wait for a client
_HEARTBEAT = b": still there\n\n"
_NOT_WANTED = re.compile(r"q\s*=\s*0(\.0*)?")
_HEADERS = {
    "cache-control": "no-cache, no-store, no-transform",  # a proxy that compresses would wait for more to compress
    "x-accel-buffering": "no",
}


class OpenStreams:
    """Counts the event streams that this process serves."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count a stream for as long as the block lasts."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


ToldT = TypeVar("ToldT")


class MessageStreamResponse(StreamingResponse, Generic[ToldT]):
    """Sends messages as they come. A client that takes none for ``send_seconds`` is told to come back.

    Without a word, a stream ends after ``life_seconds``: its client resumes by itself, and shows its key again.

    Args:
        story: What is told, until there is nothing more to tell.
        write: Returns the messages of one thing that is told, in parts that each wait for the client to take them.
        write_trouble: Returns the message that tells why the stream ends early.
        open_streams: Counts it.
        send_seconds: How long a client may take for one part.
        life_seconds: How long the stream may last.
        first: What goes out before anything happens.
    """

    def __init__(
        self,
        story: AsyncGenerator[ToldT, None],
        *,
        write: Callable[[ToldT], Iterator[bytes]],
        write_trouble: Callable[[ServiceError], bytes],
        open_streams: OpenStreams,
        send_seconds: float = 30.0,
        life_seconds: float = 3600.0,
        first: bytes = COME_BACK,
    ) -> None:
        self._first = first
        self._write = write
        self._write_trouble = write_trouble
        self._send_seconds = send_seconds
        self._life_seconds = life_seconds
        self._messages = self._written(story, open_streams)
        super().__init__(self._messages, media_type=MEDIA_TYPE, headers=_HEADERS)

    async def stream_response(self, send: Send) -> None:
        """Send the head, then each message once the one before has left."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._messages):
            with _Impatience(self._send_seconds) as impatience:
                async for message in self._messages:
                    impatience.start()
                    await send({"type": "http.response.body", "body": message, "more_body": True})
                    impatience.rest()
            if not impatience.has_ended:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
        slow = SlowReaderError(
            f"Nothing was taken for {self._send_seconds:g} s; read on from the last number that you saw."
        )
        await send({"type": "http.response.body", "body": self._write_trouble(slow), "more_body": False})

    async def _written(
        self, story: AsyncGenerator[ToldT, None], open_streams: OpenStreams
    ) -> AsyncGenerator[bytes, None]:
        """Write the story; what goes wrong after the head was sent is a message too."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self._life_seconds
        with open_streams.one_more():
            if self._first:
                yield self._first
            try:
                async with aclosing(story):
                    async for told in story:
                        for message in self._write(told):
                            yield message
                        if clock() >= ends_at:
                            break
            except ServiceError as error:
                yield self._write_trouble(error)


class EventStreamResponse(MessageStreamResponse[Told]):
    """A job's story."""

    def __init__(
        self,
        story: AsyncGenerator[Told, None],
        *,
        request_id: str,
        open_streams: OpenStreams,
        send_seconds: float = 30.0,
        life_seconds: float = 3600.0,
    ) -> None:
        super().__init__(
            story,
            write=parts,
            write_trouble=partial(write_error, request_id=request_id),
            open_streams=open_streams,
            send_seconds=send_seconds,
            life_seconds=life_seconds,
        )


class _Impatience:
    """Ends the block when a send in it takes too long, and has one timer for a whole stream.

    A timeout for each message costs more than the message.
    """

    def __init__(self, seconds: float) -> None:
        self.has_ended = False
        """Whether a message was not taken in time, and then never will be."""
        self._seconds = seconds
        self._since: float | None = None
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task(self._loop)
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Swallow the cancel that it asked for itself, unless somebody else asked too."""
        self._timer.cancel()
        is_cancel = isinstance(error, asyncio.CancelledError)
        return is_cancel and self.has_ended and self._task is not None and not self._task.uncancel()

    def start(self) -> None:
        """Say that a send begins."""
        self._since = self._loop.time()

    def rest(self) -> None:
        """Say that it is over."""
        self._since = None

    def _look(self) -> None:
        now = self._loop.time()
        since = now if self._since is None else self._since
        if now - since >= self._seconds and self._task is not None:
            self.has_ended = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_at(since + self._seconds, self._look)


def parts(told: Told) -> Iterator[bytes]:
    """Yield what ``write`` returns, in parts that end with a message: each waits in memory for a client to take it."""
    if not isinstance(told, list) or len(told) == 1:
        yield write(told)
        return
    first, size = 0, 0
    for index, event in enumerate(told):
        if size >= _PART_BYTES:
            yield write(told[first:index])
            first, size = index, 0
        size += len(event.json_line)
    yield write(told[first:])


def write(told: Told) -> bytes:
    """Return one message, or one for each event. Only events carry an id: it is where a reader resumes."""
    if told is None:
        return _HEARTBEAT
    if isinstance(told, StreamEnd):
        return _message("end", told.model_dump_json().encode())
    if isinstance(told, EventGap):
        return _message("gap", told.model_dump_json().encode())
    return _LAST_PAGE.written(told)


def write_error(error: ServiceError, request_id: str) -> bytes:
    """Return the message that tells why the stream ends early; the data is the envelope of every error."""
    envelope = {"error": error.code, "detail": redact(str(error)), "request_id": request_id}
    return _message("error", pydantic_core.to_json(envelope))


def wants_stream(accept: str) -> bool:
    """Whether an Accept header asks for server-sent events; ``q=0`` says that they are not wanted."""
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind == MEDIA_TYPE:
            return not any(_NOT_WANTED.fullmatch(parameter) for parameter in parameters)
    return False


class _LastPage:
    """Remembers how the last page was written: readers of one job are told the same list, one right after the other."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._written = b""

    def written(self, events: list[Event]) -> bytes:
        """Return one message for each event."""
        if events is not self._events:
            self._events, self._written = events, b"".join(map(_event, events))
        return self._written


_LAST_PAGE = _LastPage()


def _event(event: Event) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.type.encode(), event.json_line)


def _message(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
