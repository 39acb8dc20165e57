"""The form of a paper chat: ``token``, ``reasoning``, ``sources`` and ``done`` with ``content``; then ``[DONE]``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pydantic_core
from pydantic import JsonValue

from dspy_service.api.dialects.answer_text import AnswerText, final_text
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.redaction import redact
from dspy_service.domain.serving.run_events import (
    Cancelled,
    Ended,
    Failed,
    Predicted,
    RunEvent,
    RunFact,
    SourcesFound,
)
from dspy_service.domain.serving.turns import named_sources

if TYPE_CHECKING:
    from dspy_service.api.dialects.dialect import Dialect

Data = dict[str, JsonValue]

_STOPPED = "The answer was stopped before its end."


class Seed000:
    """Tokens cannot be taken back here, so that ``content`` of ``done`` is what counts.

    Args:
        answer_field: The output that is the answer; None: all of them together.
        conversation_id: What a client sends as ``session_id`` to go on.
    """

    def __init__(self, answer_field: str | None, conversation_id: str | None) -> None:
        self._answer = AnswerText(answer_field)
        self._session_id = conversation_id
        self._sources: list[JsonValue] = []
        self._is_done = False

    def encode(self, event: RunEvent) -> bytes:
        """Return the messages of an event."""
        written = b"".join(_message(data) for data in self._data(event.fact))
        return written + b"data: [DONE]\n\n" if isinstance(event.fact, Ended) else written

    def ping(self) -> bytes:
        """Return a comment, which readers of ``data`` never see."""
        return b": ping\n\n"

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return an error; without ``[DONE]``, because the run goes on."""
        return _message({**_error(redact(str(error)), error.code), "request_id": request_id})

    def _data(self, fact: RunFact) -> Iterator[Data]:
        for more in self._answer.more(fact):
            yield {"type": "reasoning" if more.is_reasoning else "token", "content": more.text}
        match fact:
            case SourcesFound():
                yield from self._cite([source.id for source in fact.sources])
            case Predicted():
                yield from self._final(fact)
            case Failed():
                yield _error(fact.error.message, fact.error.code)
                yield self._done(self._answer.told)
            case Cancelled():
                yield _error(_STOPPED, "cancelled")
                yield self._done(self._answer.told)
            case Ended() if not self._is_done:
                yield self._done(self._answer.told)

    def _final(self, fact: Predicted) -> Iterator[Data]:
        if rest := self._answer.rest(fact):
            yield {"type": "token", "content": rest}
        named = named_sources(fact.prediction)
        if named and not self._sources:
            yield from self._cite(named)
        yield self._done(final_text(fact))

    def _cite(self, sources: list[str]) -> Iterator[Data]:
        self._sources = [*self._sources, *sources]
        yield {"type": "sources", "content": "", "sources": self._sources}

    def _done(self, text: str) -> Data:
        self._is_done = True
        return {"type": "done", "content": text, "sources": self._sources, "session_id": self._session_id}


def _error(message: str, code: str) -> Data:
    return {"type": "error", "content": message, "code": code}


def _message(data: Data) -> bytes:
    return b"data: %b\n\n" % pydantic_core.to_json(data)


if TYPE_CHECKING:
    _proof: Dialect = Seed000(None, None)
