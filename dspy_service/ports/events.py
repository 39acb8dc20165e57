"""The event log of each job."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from dspy_service.domain.events import Event, NewEvent


class EventLog(Protocol):
    """Numbered events; nothing is ever removed before it stands in the artifact store."""

    async def append(
        self,
        job_id: str,
        *,
        fence: int,
        events: Sequence[NewEvent],
        latest_metrics: dict[str, object] | None = None,
        message: str | None = None,
        eta_seconds: float | None = None,
        batch: str | None = None,
    ) -> int:
        """Append events at a cost that does not depend on the history, and refresh the record's own view of them.

        ``latest_metrics`` replaces the record's mapping; ``eta_seconds`` counts from now; None leaves a field alone.
        ``batch`` names this call among those of its fence: when the answer was lost, the same call again changes
        nothing, unless another named batch came in between.

        Returns:
            The number of the last event.

        Raises:
            LeaseLostError: another fence holds the job; nothing was written.
        """
        ...

    async def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with ``seq > after``, oldest first; those that were archived are not here."""
        ...


class EventStream(Protocol):
    """Watches the logs of many jobs over one connection, for as long as somebody watches them."""

    def watch(self, job_id: str, /, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[Event], None]:
        """Yield events with ``seq > after``: first those that are there, in pages, then new ones, for ever.

        An empty list says that there is nothing newer: once when the reader has caught up, then whenever nothing came
        for ``quiet_seconds``. Numbers that are not there any more are left out. Close the generator to stop. Whoever
        cannot keep up is ended with SlowReaderError, and may come back with the last number it saw.

        Raises:
            SlowReaderError: too much waits for this reader.
            StoreUnavailableError: the store was away for too long.
        """
        ...

    async def aclose(self) -> None:
        """End every watch, those that come later too, and release the connection; harmless when it is closed."""
        ...
