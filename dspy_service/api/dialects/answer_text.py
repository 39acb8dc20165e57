"""How much of the answer a reader of a chat has been told, for dialects that cannot take anything back."""

from dspy_service.api.dialects.sent_texts import MoreText, SentTexts
from dspy_service.domain.serving.chat_fields import ChatFields, answer_text
from dspy_service.domain.serving.run_events import Predicted, RunFact

_ALL_OUTPUTS = ChatFields(question=None, history=None, answer=None)


class AnswerText:
    """Picks the answer, and the reasoning before it, out of the texts of all fields.

    Args:
        field: The output that is the answer; None: all of them together, which is told at the end.
    """

    def __init__(self, field: str | None) -> None:
        self._field = field
        self._texts = SentTexts()
        self._place: tuple[str, int] | None = None
        self.told = ""
        """All that was told of the answer."""

    def more(self, fact: RunFact) -> list[MoreText]:
        """Return what may be appended: to the answer, or to the reasoning."""
        return [each for each in self._texts.more(fact) if self._belongs(each)]

    def rest(self, fact: Predicted) -> str:
        """Return what is left to tell; nothing when the answer has become another: then only its end tells it."""
        answer = final_text(fact)
        if not answer.startswith(self.told):
            return ""
        left = answer[len(self.told) :]
        self.told = answer
        return left

    def _belongs(self, more: MoreText) -> bool:
        if more.is_reasoning:
            return True
        if more.field != self._field:
            return False
        self._place = self._place or (more.predictor, more.turn)
        if (more.predictor, more.turn) != self._place:
            return False
        self.told += more.text
        return True


def final_text(fact: Predicted) -> str:
    """Return the answer as a reader of a chat gets it."""
    return answer_text(fact.prediction, _ALL_OUTPUTS) if fact.answer is None else fact.answer
