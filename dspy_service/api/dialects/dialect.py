"""What every dialect does: one object per reader, which turns the events of one run into bytes."""

from typing import Protocol

from dspy_service.domain.errors import ServiceError
from dspy_service.domain.serving.run_events import RunEvent


class Dialect(Protocol):
    """Writes server-sent events. It may remember what it has written."""

    def encode(self, event: RunEvent) -> bytes:
        """Return what this reader gets of an event; empty when that is nothing.

        ``end`` is the last event of every run: what the dialect closes with goes there.
        """
        ...

    def ping(self) -> bytes:
        """Return a sign of life; without an id, so that it never moves a reader's place."""
        ...

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return what tells that this reader's stream ends before the run does."""
        ...
