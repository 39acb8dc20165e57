"""The reply and the reasoning of a run, in pieces that clients of OpenAI's API can only append."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dspy_service.api.dialects.sent_texts import MoreText, SentTexts
from dspy_service.domain.serving.chat_fields import REASONING_FIELDS
from dspy_service.domain.serving.openai_mapping import ReplyShape
from dspy_service.domain.serving.run_events import Predicted, RunFact


class Piece(NamedTuple):
    """More of the reply, or of the reasoning."""

    text: str
    is_reasoning: bool


class ReplyTexts:
    """Of one reader. The reply is what the first predictor writes into the answer field; the end tells the rest."""

    def __init__(self, shape: ReplyShape) -> None:
        self._shape = shape
        self._texts = SentTexts()
        self._reply: list[str] = []
        self._reasoning: list[str] = []
        self._place: tuple[str, int] | None = None
        self._reasoning_place: tuple[str, str, int] | None = None

    @property
    def reply(self) -> str:
        """All that was told of the reply."""
        return "".join(self._reply)

    @property
    def reasoning(self) -> str:
        """All that was told of the reasoning."""
        return "".join(self._reasoning)

    def more(self, fact: RunFact) -> Iterator[Piece]:
        """Yield what a fact adds."""
        for each in self._texts.more(fact):
            if each.field == self._shape.streamed:
                yield from self._more_reply(each)
            elif each.field in REASONING_FIELDS or each.is_reasoning:
                yield self._more_reasoning(each)

    def rest(self, predicted: Predicted) -> Iterator[Piece]:
        """Yield what is missing at the end; nothing of a text that was told otherwise, see ``is_whole``."""
        reasoning = self._shape.reasoning_text(predicted.prediction)
        if len(reasoning) > len(self.reasoning) and reasoning.startswith(self.reasoning):
            yield self._told(self._reasoning, reasoning[len(self.reasoning) :], is_reasoning=True)
        reply = self._shape.text(predicted.prediction)
        if len(reply) > len(self.reply) and reply.startswith(self.reply):
            yield self._told(self._reply, reply[len(self.reply) :], is_reasoning=False)

    def is_whole(self, predicted: Predicted) -> bool:
        """Whether what was told is the reply; if not, something of it was taken back."""
        return self.reply == self._shape.text(predicted.prediction)

    def _more_reply(self, each: MoreText) -> Iterator[Piece]:
        self._place = self._place or (each.predictor, each.turn)
        if self._place == (each.predictor, each.turn):
            yield self._told(self._reply, each.text, is_reasoning=False)

    def _more_reasoning(self, each: MoreText) -> Piece:
        place = (each.predictor, each.field, each.turn)
        is_next = self._reasoning_place not in {None, place}
        self._reasoning_place = place
        return self._told(self._reasoning, f"\n{each.text}" if is_next else each.text, is_reasoning=True)

    def _told(self, texts: list[str], text: str, *, is_reasoning: bool) -> Piece:
        texts.append(text)
        return Piece(text, is_reasoning)


def joined(pieces: Iterable[Piece]) -> tuple[Piece, Piece]:
    """Return all of the reasoning and all of the reply; either may be empty."""
    told = list(pieces)
    texts = ["".join(each.text for each in told if each.is_reasoning is is_reasoning) for is_reasoning in (True, False)]
    return Piece(texts[0], is_reasoning=True), Piece(texts[1], is_reasoning=False)
