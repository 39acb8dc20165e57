"""Follows a run: the call that starts it, then its events, across broken connections."""

from collections.abc import Mapping

import httpx
from httpx_sse import ServerSentEvent

from dspy_service.client.calls import Call
from dspy_service.client.errors import UnexpectedAnswerError
from dspy_service.client.following import MEDIA_TYPE, StreamFollowing, trouble
from dspy_service.client.run_calls import run_path
from dspy_service.domain.serving.run_events import Ended, RunEvent
from dspy_service.domain.serving.run_views import ReaderTrouble, read_event


class RunFollowing(StreamFollowing[RunEvent]):
    """One reader's place in the events of one run."""

    def __init__(self, run_id: str, *, after: int = 0) -> None:
        super().__init__("GET", run_path(run_id, "/events"))
        self._start_headers: Mapping[str, str] = {}
        self._last_seq = after

    @classmethod
    def of_call(cls, call: Call[bytes]) -> "RunFollowing":
        """Begin with the call that starts the run; its idempotency key makes it safe to send it again."""
        following = cls("")
        following.method, following.path = call.method, call.path
        following.content, following._start_headers = call.content, call.headers
        return following

    @property
    def headers(self) -> Mapping[str, str]:
        """What the next connection asks for."""
        if self.method == "POST":
            return {**self._start_headers, "Accept": MEDIA_TYPE}
        return {"Accept": MEDIA_TYPE, "Last-Event-ID": str(self._last_seq)}

    def refused(self, response: httpx.Response) -> None:
        """Decide about an answer that is no stream; one without content says that everything was told."""
        if response.status_code == httpx.codes.NO_CONTENT:
            self.has_ended = True
        else:
            super().refused(response)

    def _read(self, message: ServerSentEvent) -> RunEvent | None:
        if not message.data or message.event == "ping":
            return None
        try:
            event = read_event(message.data)
        except ValueError as error:
            raise UnexpectedAnswerError(self.method, self.path, httpx.codes.OK, str(error)) from error
        if isinstance(event, ReaderTrouble):
            if not event.error.retryable:
                raise trouble(event.error.code, event.error.message, event.request_id)
            return None
        self._go_on_as_reader(event)
        if event.seq <= self._last_seq:
            return None
        self._last_seq = event.seq
        self.has_ended = isinstance(event.fact, Ended)
        return event

    def _go_on_as_reader(self, event: RunEvent) -> None:
        """Once the run has a name, a connection that breaks is opened again where it broke."""
        if event.fact.type == "start":
            self.method, self.path = "GET", run_path(event.fact.run_id, "/events")
            self.content = None
