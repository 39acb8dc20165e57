"""Answers with a run's events as they happen, in any dialect."""

from collections.abc import Iterator, Mapping
from functools import partial

from fastapi import Request

from dspy_service.api.dialects.dialect import Dialect
from dspy_service.api.headers import request_id_of
from dspy_service.api.sse import COME_BACK, HEARTBEAT_SECONDS, MessageStreamResponse
from dspy_service.bootstrap import Services
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import RunEvent
from dspy_service.usecases.serving.watch_run import watch_run

_HOW_SOON = COME_BACK.removesuffix(b"\n")
"""Stands in the block of the first event: some clients take a block without data for an empty event."""
_PART_EVENTS = 64
"""Written at once: a page of a long log waits in memory in parts, each for the client to take it."""


def run_stream(
    run: Run,
    dialect: Dialect,
    *,
    request: Request,
    services: Services,
    after: int = 0,
    headers: Mapping[str, str] | None = None,
    ping_seconds: float = HEARTBEAT_SECONDS,
    is_for_browsers: bool = True,
) -> MessageStreamResponse[list[RunEvent]]:
    """Return the answer that tells a run from the event behind ``after`` until its end.

    As long as somebody reads, the run goes on; what happens when nobody does, its ``on_disconnect`` says.

    Args:
        run: The record, as it was when the reader came.
        dialect: How events are written; of this reader alone.
        request: Whose answer it is.
        services: Where the run is.
        after: The last number that the reader has seen.
        headers: To send beside its own.
        ping_seconds: After so long without an event, a sign of life goes out; before the first token too.
        is_for_browsers: Whether an ``EventSource`` may read it, which can only GET and is told how soon to come back.
            OpenAI's clients stumble over that: they take a block without data for an event.
    """
    story = watch_run(run, after=after, quiet_seconds=ping_seconds, runs=services.runs)
    response = MessageStreamResponse(
        story,
        write=partial(_written, dialect),
        write_trouble=partial(dialect.trouble, request_id=request_id_of(request.scope)),
        open_streams=request.app.state.open_streams,
        first=_HOW_SOON if is_for_browsers and request.method == "GET" else b"",
    )
    response.headers.update({"x-run-id": run.run_id, **(headers or {})})
    return response


def _written(dialect: Dialect, events: list[RunEvent]) -> Iterator[bytes]:
    if not events:
        yield dialect.ping()
    for first in range(0, len(events), _PART_EVENTS):
        written = b"".join(map(dialect.encode, events[first : first + _PART_EVENTS]))
        if written:
            yield written
