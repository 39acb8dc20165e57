"""The smallest form of a chat: ``{"token": …}`` until ``{"done": true, "conversation_id": …}``."""

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
    SourcesFound,
    Started,
)
from dspy_service.domain.serving.turns import named_sources

if TYPE_CHECKING:
    from dspy_service.api.dialects.dialect import Dialect

_STOPPED = "The answer was stopped before its end."


class Seed002:
    """Its clients append ``token`` of whatever is not ``done``: so nothing else is ever sent before that.

    ``done`` brings the whole ``response``, which counts when it differs from the tokens, and what went wrong.

    Args:
        answer_field: The output that is the answer; None: all of them together.
        conversation_id: What a client sends to go on.
    """

    def __init__(self, answer_field: str | None, conversation_id: str | None) -> None:
        self._answer = AnswerText(answer_field)
        self._end: dict[str, JsonValue] = {"done": True, "conversation_id": conversation_id}
        self._sources: list[JsonValue] = []
        self._response: str | None = None

    def encode(self, event: RunEvent) -> bytes:
        """Return the tokens of an event, and the end of the last one."""
        fact = event.fact
        written = b"".join(_token(each.text) for each in self._answer.more(fact) if not each.is_reasoning)
        match fact:
            case Started():
                self._end |= {"run_id": fact.run_id, "message_id": fact.message_id}
            case SourcesFound():
                self._sources = [*self._sources, *(source.id for source in fact.sources)]
            case Predicted():
                written += self._told_to_the_end(fact)
            case Failed():
                self._fail(fact.error.code, fact.error.message)
            case Cancelled():
                self._fail("cancelled", _STOPPED)
            case Ended():
                written += self._done()
            case _:
                pass  # text, which was told above, and what the form has no place for
        return written

    def ping(self) -> bytes:
        """Return a comment, which readers of ``data`` never see."""
        return b": ping\n\n"

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return a ``done`` with the reason: the form has no other message that its clients could bear."""
        self._fail(error.code, redact(str(error)))
        self._end["request_id"] = request_id
        return self._done()

    def _told_to_the_end(self, fact: Predicted) -> bytes:
        self._response = final_text(fact)
        self._sources = self._sources or [*named_sources(fact.prediction)]
        self._end["tokens_used"] = 0 if fact.usage is None else fact.usage.total_tokens
        rest = self._answer.rest(fact)
        return _token(rest) if rest else b""

    def _fail(self, code: str, message: str) -> None:
        self._end["error"] = {"code": code, "message": message}

    def _done(self) -> bytes:
        response = self._answer.told if self._response is None else self._response
        return _message({**self._end, "response": response, "sources": self._sources})


def _token(text: str) -> bytes:
    return _message({"token": text})


def _message(data: dict[str, JsonValue]) -> bytes:
    return b"data: %b\n\n" % pydantic_core.to_json(data)


if TYPE_CHECKING:
    _proof: Dialect = Seed002(None, None)
