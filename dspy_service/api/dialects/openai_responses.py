"""A run as the typed events of the Responses API."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core

from dspy_service.api.openai.errors import trouble_object
from dspy_service.api.openai.reply_texts import Piece, ReplyTexts, joined
from dspy_service.api.openai.responses import (
    item_id,
    item_status,
    message_item,
    reasoning_item,
    response_object,
    summary_part,
    text_part,
)
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.serving.openai_mapping import ReplyShape
from dspy_service.domain.serving.openai_memo import ResponseMemo
from dspy_service.domain.serving.run import Run, RunError, RunStatus
from dspy_service.domain.serving.run_events import Ended, Failed, Predicted, RunEvent, Snapshot, Started

if TYPE_CHECKING:
    from dspy_service.api.dialects.dialect import Dialect

PER_EVENT = 16
"""Numbers that each event of the run has: ``sequence_number`` is sixteen times its own, and counts on from there."""

_PING = b": still there\n\n"
_ENDS = {RunStatus.COMPLETED: "response.completed", RunStatus.FAILED: "response.failed"}
_INCOMPLETE = "response.incomplete"
"""Also the end of a response that was cancelled: OpenAI has no event for that; its ``status`` says so."""


class OpenAIResponses:
    """The items begin with the first event, so that each token is one event and any number is a place to go on from.

    ``response.output_text.done`` holds the whole text: it is what is right, whatever the deltas were.

    Args:
        run: The run that is told.
        memo: What its record keeps of the request.
        shape: What of it is the reply.
        after: The last number that this reader has seen; what has no higher one is not told again.
    """

    def __init__(self, run: Run, memo: ResponseMemo, shape: ReplyShape, *, after: int = 0) -> None:
        self._run = run
        self._memo = memo
        self._shape = shape
        self._after = after
        self._last = after
        self._is_lost = False
        self._texts = ReplyTexts(shape)
        self._message = {"item_id": item_id("msg", run), "output_index": 0 if shape.reasoning is None else 1}
        self._reasoning = {"item_id": item_id("rs", run), "output_index": 0, "summary_index": 0}
        self._predicted: Predicted | None = None
        self._error: RunError | None = None

    def catch_up(self, events: Sequence[RunEvent], *, place: int) -> None:
        """Take in the events that this reader has been told, up to the number ``place`` of the run.

        Where nobody knows all of them any more, no deltas follow: they could only repeat what was told.
        """
        starts = [at for at, event in enumerate(events) if event.seq == 1 or isinstance(event.fact, Snapshot)]
        known = [event.seq for event in events[starts[-1] :]] if starts else []
        self._is_lost = not known or known != list(range(known[0], place + 1))
        for event in events:
            self.encode(event)

    def encode(self, event: RunEvent) -> bytes:
        """Return the events that stand for one of the run."""
        written = b""
        for number, each in enumerate(self._events(event), start=PER_EVENT * event.seq):
            if number > self._after:
                data = pydantic_core.to_json({**each, "sequence_number": number})
                written += b"event: %b\ndata: %b\n\n" % (each["type"].encode(), data)
                self._last = number
        return written

    def ping(self) -> bytes:
        """Return a comment."""
        return _PING

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return an ``error`` under the last number, so that it moves no reader's place: the response goes on."""
        found = trouble_object(error, request_id)
        data = {"type": "error", "sequence_number": self._last}
        told = {name: found[name] for name in ("code", "message", "param", "request_id")}
        return b"event: error\ndata: %b\n\n" % pydantic_core.to_json({**data, **told})

    def _events(self, event: RunEvent) -> Iterator[dict[str, Any]]:
        fact = event.fact
        if isinstance(fact, Started):
            yield from self._begin()
        elif isinstance(fact, Predicted):
            self._predicted = fact
            yield from self._deltas(self._texts.rest(fact))
        elif isinstance(fact, Failed):
            self._error = fact.error
        elif isinstance(fact, Ended):
            yield from self._close(item_status(fact.status))
            yield {"type": _ENDS.get(fact.status, _INCOMPLETE), "response": self._response(fact.status)}
        else:
            yield from self._deltas(self._texts.more(fact))

    def _begin(self) -> Iterator[dict[str, Any]]:
        begun = self._response(RunStatus.QUEUED if self._memo.background else RunStatus.IN_PROGRESS)
        yield {"type": "response.created", "response": begun}
        yield {"type": "response.in_progress", "response": self._response(RunStatus.IN_PROGRESS)}
        if self._shape.reasoning is not None:
            item = reasoning_item(self._run, None, status="in_progress")
            yield {"type": "response.output_item.added", "output_index": 0, "item": item}
            yield {"type": "response.reasoning_summary_part.added", **self._reasoning, "part": summary_part("")}
        index = self._message["output_index"]
        item = message_item(self._run, None, status="in_progress")
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.content_part.added", **self._message, "content_index": 0, "part": text_part("")}

    def _deltas(self, pieces: Iterator[Piece]) -> Iterator[dict[str, Any]]:
        """Yield at most one event of each kind: there are few numbers."""
        reasoning, reply = joined(pieces)
        for piece in () if self._is_lost else (reasoning, reply):
            if piece.text:
                yield self._delta(piece)

    def _delta(self, piece: Piece) -> dict[str, Any]:
        if piece.is_reasoning:
            return {"type": "response.reasoning_summary_text.delta", **self._reasoning, "delta": piece.text}
        place = {**self._message, "content_index": 0}
        return {"type": "response.output_text.delta", **place, "delta": piece.text, "logprobs": []}

    def _close(self, status: str) -> Iterator[dict[str, Any]]:
        """Yield the whole texts: of the prediction, or as far as they were told."""
        if self._shape.reasoning is not None:
            text = self._texts.reasoning
            if self._predicted is not None:
                text = self._shape.reasoning_text(self._predicted.prediction)
            item = reasoning_item(self._run, text, status=status)
            yield {"type": "response.reasoning_summary_text.done", **self._reasoning, "text": text}
            yield {"type": "response.reasoning_summary_part.done", **self._reasoning, "part": summary_part(text)}
            yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        reply = self._texts.reply if self._predicted is None else self._shape.text(self._predicted.prediction)
        place = {**self._message, "content_index": 0}
        item = message_item(self._run, reply, status=status)
        yield {"type": "response.output_text.done", **place, "text": reply, "logprobs": []}
        yield {"type": "response.content_part.done", **place, "part": text_part(reply)}
        yield {"type": "response.output_item.done", "output_index": self._message["output_index"], "item": item}

    def _response(self, status: RunStatus) -> dict[str, Any]:
        return response_object(
            self._run, self._memo, status=status, shape=self._shape, predicted=self._predicted, error=self._error
        )


if TYPE_CHECKING:

    def _proof(run: Run, memo: ResponseMemo, shape: ReplyShape) -> Dialect:
        return OpenAIResponses(run, memo, shape)
