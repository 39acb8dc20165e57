"""Any dialect with ids, so that an ``EventSource`` that reconnects goes on with its run and does not start another."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dspy_service.api.dialects.dialect import Dialect
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.serving.run_events import RunEvent

_PLACE = re.compile(r"(?P<run>[A-Za-z0-9_-]{1,64})/(?P<seq>[0-9]{1,15})")


class Numbered:
    """Writes ``id: <run>/<seq>`` behind each event.

    An id without data makes no event in a browser, but is remembered; behind the data it is only known once all of it
    has arrived.

    Args:
        dialect: How events are written.
        run_id: Of the run.
        seen: What the reader has seen before, which the dialect must know to go on from there.
    """

    def __init__(self, dialect: Dialect, run_id: str, seen: Iterable[RunEvent] = ()) -> None:
        self._dialect = dialect
        self._run_id = run_id.encode()
        for event in seen:
            dialect.encode(event)

    def encode(self, event: RunEvent) -> bytes:
        """Return what the dialect writes, and the place behind it."""
        return self._dialect.encode(event) + b"id: %b/%d\n\n" % (self._run_id, event.seq)

    def ping(self) -> bytes:
        """Return the dialect's sign of life."""
        return self._dialect.ping()

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return what the dialect says."""
        return self._dialect.trouble(error, request_id)


def place_of(last_event_id: str) -> tuple[str, int] | None:
    """Return the run and the number that an id of ours names; None for any other text."""
    found = _PLACE.fullmatch(last_event_id)
    return None if found is None else (found["run"], int(found["seq"]))


if TYPE_CHECKING:
    from dspy_service.api.dialects.v1 import V1

    _proof: Dialect = Numbered(V1("run"), "run")
