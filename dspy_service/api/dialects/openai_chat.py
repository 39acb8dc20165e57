"""A run as the stream of a chat completion: chunks, and ``[DONE]``."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core

from dspy_service.api.openai.completions import additions, chunk, head, usage_object
from dspy_service.api.openai.errors import run_error_object, trouble_object
from dspy_service.api.openai.reply_texts import Piece, ReplyTexts
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.serving.openai_mapping import ReplyShape
from dspy_service.domain.serving.run import Run, RunError
from dspy_service.domain.serving.run_events import Cancelled, Ended, Failed, Predicted, RunEvent, Started

if TYPE_CHECKING:
    from dspy_service.api.dialects.dialect import Dialect

_PING = b": still there\n\n"
_DONE = b"data: [DONE]\n\n"


class OpenAIChat:
    """Text that was taken back cannot be unsaid here: ``dspy.prediction`` of the last chunk is what is right.

    Args:
        run: The run that is told.
        shape: What of it is the reply.
        digest: Of the version.
        include_usage: Whether the last chunk is the usage, as ``stream_options`` asks.
        warnings: What of the request was ignored.
    """

    def __init__(
        self, run: Run, shape: ReplyShape, *, digest: str, include_usage: bool = False, warnings: Sequence[str] = ()
    ) -> None:
        self._run = run
        self._texts = ReplyTexts(shape)
        self._start = head(run, digest, "chat.completion.chunk")
        self._include_usage = include_usage
        self._warnings = warnings
        self._predicted: Predicted | None = None
        if include_usage:
            self._start["usage"] = None

    def encode(self, event: RunEvent) -> bytes:
        """Return the chunks of an event."""
        return b"".join(map(_data, self._chunks(event))) + (_DONE if isinstance(event.fact, Ended) else b"")

    def ping(self) -> bytes:
        """Return a comment."""
        return _PING

    def trouble(self, error: ServiceError, request_id: str) -> bytes:
        """Return an error, on which clients raise."""
        return _data({"error": trouble_object(error, request_id)})

    def _chunks(self, event: RunEvent) -> Iterator[dict[str, Any]]:
        fact = event.fact
        if isinstance(fact, Started):
            yield chunk(self._start, {"role": "assistant", "content": ""})
        elif isinstance(fact, Predicted):
            self._predicted = fact
            yield from map(self._delta, self._texts.rest(fact))
            added = additions(self._run, fact, self._warnings)
            if not self._texts.is_whole(fact):
                added["dspy"]["retracted"] = True
            yield chunk(self._start, {}, finish_reason=fact.finish_reason, **added)
        elif isinstance(fact, Failed):
            yield {"error": run_error_object(self._run.run_id, fact.error)}
        elif isinstance(fact, Cancelled):
            error = RunError(code="cancelled", message="It was ended before it had an answer.")
            yield {"error": run_error_object(self._run.run_id, error)}
        elif isinstance(fact, Ended):
            if self._include_usage and self._predicted is not None:
                yield {**chunk(self._start, None), "usage": usage_object(self._predicted.usage)}
        else:
            yield from map(self._delta, self._texts.more(fact))

    def _delta(self, piece: Piece) -> dict[str, Any]:
        return chunk(self._start, {"reasoning_content" if piece.is_reasoning else "content": piece.text})


def _data(message: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % pydantic_core.to_json(message)


if TYPE_CHECKING:

    def _proof(run: Run, shape: ReplyShape) -> Dialect:
        return OpenAIChat(run, shape, digest="")
