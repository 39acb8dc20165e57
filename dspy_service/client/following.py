"""Follows an event stream across broken connections: what to ask, how to read it, when to give up.

The clients do the reading; what they read and decide is written once, here.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar
from urllib.parse import quote

import httpx
from httpx_sse import ServerSentEvent
from pydantic import ValidationError

from dspy_service.client.calls import MISSING, refusal
from dspy_service.client.errors import ApiError, ServiceUnreachableError, UnexpectedAnswerError
from dspy_service.client.plans import PATIENT_PAUSES_SECONDS, RETRIED_STATUSES, retry_after_seconds
from dspy_service.domain.events import Event

EventT = TypeVar("EventT")

MEDIA_TYPE = "text/event-stream"
_SILENCE_SECONDS = 30.0  # the service says every ten that it is still there
_COME_BACK = frozenset({"slow_reader", "store_unavailable"})


class StreamFollowing(ABC, Generic[EventT]):
    """One reader's place in one stream, whatever it tells."""

    content: bytes | None = None
    """Body of the next connection's request."""

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path
        self.has_ended = False
        """Whether everything was told."""
        self.pause_seconds = 0.0
        """Before the next connection."""
        self._failures = 0

    @property
    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """What the next connection asks for."""

    def timeout(self, usual: httpx.Timeout) -> httpx.Timeout:
        """Return the client's timeout, but patient enough to hear the next sign of life."""
        read_seconds = None if usual.read is None else max(usual.read, _SILENCE_SECONDS)
        return httpx.Timeout(connect=usual.connect, read=read_seconds, write=usual.write, pool=usual.pool)

    def take(self, message: ServerSentEvent) -> EventT | None:
        """Read one message and return its event, if it is one that was not seen yet.

        Raises:
            ApiError: the stream cannot go on.
            UnexpectedAnswerError: it is no message of this service.
        """
        self._failures = 0
        self.pause_seconds = PATIENT_PAUSES_SECONDS[0]
        return self._read(message)

    @abstractmethod
    def _read(self, message: ServerSentEvent) -> EventT | None: ...

    def is_open(self, response: httpx.Response) -> bool:
        """Whether a stream begins here; else, once the answer was read, ``refused`` says what to do."""
        return response.status_code == httpx.codes.OK

    def check(self, response: httpx.Response) -> None:
        """Make sure that it is a stream. Raises UnexpectedAnswerError."""
        found = response.headers.get("content-type", "no content")
        if found.partition(";")[0] != MEDIA_TYPE:
            raise UnexpectedAnswerError(self.method, self.path, response.status_code, found)

    def refused(self, response: httpx.Response) -> None:
        """Decide about an answer that is no stream: come back later, or raise what it says."""
        error = refusal(self.method, self.path, response)
        if response.status_code not in RETRIED_STATUSES:
            raise error
        self._fail(error)
        self.pause_seconds = max(self.pause_seconds, retry_after_seconds(response) or 0.0)

    def lost(self, error: httpx.TransportError) -> None:
        """Decide about a connection that broke or never was. Raises ServiceUnreachableError after a minute of them."""
        address = str(error.request.url.copy_with(raw_path=b"/"))
        self._fail(ServiceUnreachableError(address, str(error) or type(error).__name__))

    def _fail(self, error: Exception) -> None:
        if self._failures >= len(PATIENT_PAUSES_SECONDS):
            raise error
        self.pause_seconds = PATIENT_PAUSES_SECONDS[self._failures]
        self._failures += 1


class Following(StreamFollowing[Event]):
    """One reader's place in the stream of one job."""

    def __init__(self, job_id: str, *, after: int) -> None:
        super().__init__("GET", f"/jobs/{quote(job_id, safe='')}/events")
        self._last_id = after

    @property
    def headers(self) -> Mapping[str, str]:
        """What the next connection asks for."""
        return {"Accept": MEDIA_TYPE, "Last-Event-ID": str(self._last_id)}

    def _read(self, message: ServerSentEvent) -> Event | None:
        if not message.data or message.event == "gap":
            return None
        if message.event == "end":
            self.has_ended = True
            return None
        if message.event == "error":
            self._raise_unless_it_may_come_back(message.data)
            return None
        try:
            event = Event.model_validate_json(message.data, extra="ignore")
        except ValidationError as error:
            raise UnexpectedAnswerError(self.method, self.path, httpx.codes.OK, str(error)) from error
        if event.seq <= self._last_id:
            return None
        self._last_id = event.seq
        return event

    def _raise_unless_it_may_come_back(self, data: str) -> None:
        envelope = json.loads(data)
        code = str(envelope["error"])
        if code not in _COME_BACK:
            raise trouble(code, str(envelope["detail"]), envelope.get("request_id"))


def trouble(code: str, detail: str, request_id: str | None) -> ApiError:
    """Return the error for what ended a stream that had begun, where no status tells."""
    kind = MISSING.get(code)
    if kind is None:
        return ApiError(500, code, detail, request_id=request_id)
    return kind(404, code, detail, request_id=request_id)
