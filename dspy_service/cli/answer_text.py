"""An answer as a terminal can show it: text that only grows."""

from dspy_service.domain.serving.chat_fields import ChatFields, answer_text
from dspy_service.domain.serving.run_events import Predicted, RunFact, Snapshot, TextReplaced, TokenWritten


class AnswerText:
    """What of a run's events is printed; its answer field as it is written, and the rest at the end."""

    def __init__(self, fields: ChatFields) -> None:
        self._fields = fields
        self._told = ""
        self._place: tuple[str, int] | None = None

    def more(self, fact: RunFact) -> str:
        """Return what a fact adds; an answer that was taken back begins on a new line."""
        if isinstance(fact, TokenWritten | TextReplaced) and fact.field == self._fields.answer:
            before = self._told if self._place == (fact.predictor, fact.turn) else ""
            self._place = (fact.predictor, fact.turn)
            return self._grown(fact.text if isinstance(fact, TextReplaced) else before + fact.text)
        if isinstance(fact, Snapshot):
            return "".join(map(self.more, fact.fields))
        if isinstance(fact, Predicted):
            return self._grown(answer_text(fact.prediction, self._fields) if fact.answer is None else fact.answer)
        return ""

    def _grown(self, text: str) -> str:
        told, self._told = self._told, text
        if text.startswith(told):
            return text[len(told) :]
        return f"\n{text}"
