"""The forms of DSPy's own tutorials: data without names or numbers, and ``[DONE]`` at the end."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pydantic_core
from pydantic import JsonValue

from dspy_service.api.dialects.sent_texts import MoreText, SentTexts
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.redaction import redact
from dspy_service.domain.serving.run_events import Cancelled, Ended, Failed, Predicted, RunEvent, RunFact, StatusNoted

if TYPE_CHECKING:
    from dspy_service.api.dialects.dialect import Dialect

_DONE = b"data: [DONE]\n\n"
_PING = b": ping\n\n"
_STOPPED = "The run was ended before it had an answer."

Data = dict[str, JsonValue]


class _Seed001(ABC):
    """What its three forms share: none of them can take text back, so that the last message is what counts."""

    def __init__(self) -> None:
        self._texts = SentTexts()

    def encode(self, event: RunEvent) -> bytes:
        """Return the messages of an event, and what closes the stream behind the last one."""
        written = b"".join(_message(data) for data in self._data(event.fact))
        return written + _DONE if isinstance(event.fact, Ended) else written

    def ping(self) -> bytes:
        """Return a comment, which readers of ``data`` never see."""
        return _PING

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return an error; without ``[DONE]``, because the run goes on."""
        return _message({**_error(redact(str(error)), error.code), "request_id": request_id})

    def _data(self, fact: RunFact) -> Iterator[Data]:
        for more in self._texts.more(fact):
            yield from self._token(more)
        if isinstance(fact, StatusNoted):
            yield from self._status(fact)
        elif isinstance(fact, Predicted):
            yield self._result(fact)
        elif isinstance(fact, Failed):
            yield _error(fact.error.message, fact.error.code)
        elif isinstance(fact, Cancelled):
            yield _error(_STOPPED, "cancelled")

    @abstractmethod
    def _token(self, more: MoreText) -> Iterator[Data]: ...

    @abstractmethod
    def _status(self, fact: StatusNoted) -> Iterator[Data]: ...

    @abstractmethod
    def _result(self, fact: Predicted) -> Data: ...


class Seed001Predict(_Seed001):
    """``POST /predict/stream``: ``{"chunk"}`` of any field, then ``{"prediction"}``."""

    def _token(self, more: MoreText) -> Iterator[Data]:
        yield {"chunk": more.text, "field": more.field}

    def _status(self, fact: StatusNoted) -> Iterator[Data]:  # noqa: ARG002  # the form has no place for it
        yield from ()

    def _result(self, fact: Predicted) -> Data:
        return {"prediction": fact.prediction}


class Seed001Query(_Seed001):
    """``POST /v1/query``: ``token``, ``status`` with ``msg``, and ``result``.

    Args:
        answer_field: The field that is the answer, whose text alone is told; None: of all outputs but reasoning.
    """

    def __init__(self, answer_field: str | None) -> None:
        super().__init__()
        self._answer_field = answer_field

    def _token(self, more: MoreText) -> Iterator[Data]:
        if more.field == self._answer_field or (self._answer_field is None and not more.is_reasoning):
            yield {"type": "token", "chunk": more.text}

    def _status(self, fact: StatusNoted) -> Iterator[Data]:
        yield {"type": "status", "msg": fact.message}

    def _result(self, fact: Predicted) -> Data:
        return {"type": "result", "answer": _answer(fact)}


class Seed001Chat(Seed001Query):
    """``POST /chat/stream`` with a ``question``: ``token`` with its field, ``status``, and ``complete``."""

    def _token(self, more: MoreText) -> Iterator[Data]:
        if more.field == self._answer_field or more.is_reasoning or self._answer_field is None:
            yield {"type": "token", "field": more.field, "chunk": more.text}

    def _status(self, fact: StatusNoted) -> Iterator[Data]:
        yield {"type": "status", "message": fact.message}

    def _result(self, fact: Predicted) -> Data:
        return {"type": "complete", "answer": _answer(fact)}


def _answer(fact: Predicted) -> JsonValue:
    return fact.prediction if fact.answer is None else fact.answer


def _error(message: str, code: str) -> Data:
    return {"type": "error", "message": message, "code": code}


def _message(data: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % pydantic_core.to_json(data)


if TYPE_CHECKING:
    _proofs: tuple[Dialect, ...] = (Seed001Predict(), Seed001Query(None), Seed001Chat(None))
