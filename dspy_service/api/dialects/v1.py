"""The canonical dialect: every event as it is, under its own name and number."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pydantic_core

from dspy_service.domain.errors import ServiceError, SlowReaderError, StoreUnavailableError
from dspy_service.domain.redaction import redact
from dspy_service.domain.serving.run_events import RunEvent
from dspy_service.domain.serving.run_views import flat_event

if TYPE_CHECKING:
    from dspy_service.api.dialects.dialect import Dialect


class V1:
    """``id`` is the number, ``event`` the type, ``data`` the fact with its number, run and time beside it."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._last_seq = 0

    def encode(self, event: RunEvent) -> bytes:
        """Return one message."""
        self._last_seq = event.seq
        data = pydantic_core.to_json(flat_event(event, self._run_id))
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.fact.type.encode(), data)

    def ping(self) -> bytes:
        """Return the time, and the last number that this reader got."""
        data = {"type": "ping", "t": datetime.now(UTC).timestamp(), "last_seq": self._last_seq}
        return b"event: ping\ndata: %b\n\n" % pydantic_core.to_json(data)

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return an ``error`` without a number: the run goes on, and the reader may come back where it was."""
        data = {
            "type": "error",
            "run_id": self._run_id,
            "error": {
                "code": "slow_consumer" if isinstance(error, SlowReaderError) else error.code,
                "message": redact(str(error)),
                "retryable": isinstance(error, SlowReaderError | StoreUnavailableError),
            },
            "partial": self._last_seq > 0,
            "request_id": request_id,
        }
        return b"event: error\ndata: %b\n\n" % pydantic_core.to_json(data)


if TYPE_CHECKING:
    _proof: Dialect = V1("run")
