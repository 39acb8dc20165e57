"""The form of a chat page: ``start``, ``token``, ``status``, ``final``, ``error``, ``end`` and ``ping`` as ``type``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pydantic_core
from pydantic import JsonValue

from dspy_service.api.dialects.answer_text import AnswerText, final_text
from dspy_service.domain.errors import ServiceError, SlowReaderError, StoreUnavailableError
from dspy_service.domain.redaction import redact
from dspy_service.domain.serving.run_events import (
    Cancelled,
    Ended,
    Failed,
    Predicted,
    RunEvent,
    RunFact,
    SourcesFound,
    Started,
    StatusNoted,
)

if TYPE_CHECKING:
    from dspy_service.api.dialects.dialect import Dialect

Data = dict[str, JsonValue]

_STOPPED = "The answer was stopped before its end."


class Seed003:
    """Tokens cannot be taken back here, so that ``text`` of ``final`` is what counts.

    Args:
        answer_field: The output that is the answer; None: all of them together.
    """

    def __init__(self, answer_field: str | None) -> None:
        self._answer = AnswerText(answer_field)

    def encode(self, event: RunEvent) -> bytes:
        """Return the messages of an event."""
        return b"".join(_message(data) for data in self._data(event.fact, event.seq))

    def ping(self) -> bytes:
        """Return a ``ping``."""
        return _message({"type": "ping"})

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return an error; without ``end``, because the run goes on."""
        retryable = isinstance(error, SlowReaderError | StoreUnavailableError)
        return _message({**_error(redact(str(error)), error.code, retryable=retryable), "request_id": request_id})

    def _data(self, fact: RunFact, seq: int) -> Iterator[Data]:
        for more in self._answer.more(fact):
            yield {"type": "reasoning" if more.is_reasoning else "token", "text": more.text, "field": more.field}
        match fact:
            case Started() | SourcesFound() | StatusNoted():
                yield fact.model_dump(mode="json")
            case Predicted():
                yield from self._final(fact)
            case Failed():
                yield _error(fact.error.message, fact.error.code, retryable=fact.error.retryable)
            case Cancelled():
                yield _error(_STOPPED, "cancelled", retryable=False)
            case Ended():
                yield {"type": "end", "status": fact.status, "last_seq": seq}
            case _:
                pass  # text, which was told above, and what the form has no place for

    def _final(self, fact: Predicted) -> Iterator[Data]:
        if rest := self._answer.rest(fact):
            yield {"type": "token", "text": rest, "field": None}
        yield {**fact.model_dump(mode="json"), "text": final_text(fact)}


def _error(message: str, code: str, *, retryable: bool) -> Data:
    return {"type": "error", "message": message, "code": code, "retryable": retryable}


def _message(data: Data) -> bytes:
    return b"data: %b\n\n" % pydantic_core.to_json(data)


if TYPE_CHECKING:
    _proof: Dialect = Seed003(None)
