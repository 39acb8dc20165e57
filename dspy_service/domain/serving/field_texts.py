"""The texts of a run's fields, as its events so far spell them."""

from collections.abc import Iterable
from typing import Self

from dspy_service.domain.serving.run_events import RunFact, Snapshot, TextReplaced, TokenWritten


class FieldTexts:
    """Applies tokens and replacements as the contract of ``run_events`` says; other facts change nothing."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str, int], list[str]] = {}

    @classmethod
    def of(cls, facts: Iterable[RunFact]) -> Self:
        """Return the texts that these facts come to."""
        texts = cls()
        for fact in facts:
            texts.add(fact)
        return texts

    def add(self, fact: RunFact) -> None:
        """Apply one more fact; a snapshot replaces all that was there."""
        if isinstance(fact, TokenWritten):
            self._parts.setdefault((fact.predictor, fact.field, fact.turn), []).append(fact.text)
        elif isinstance(fact, TextReplaced):
            self._parts[fact.predictor, fact.field, fact.turn] = [fact.text]
        elif isinstance(fact, Snapshot):
            self._parts = {(text.predictor, text.field, text.turn): [text.text] for text in fact.fields}

    def text(self, field: str, *, predictor: str = "self", turn: int = 0) -> str:
        """Return the text of one field; empty when nothing was written."""
        return "".join(self._parts.get((predictor, field, turn), ()))

    def all(self) -> list[TextReplaced]:
        """Return every field that was written to, in the order of its first text."""
        return [
            TextReplaced(field=field, predictor=predictor, turn=turn, text="".join(parts))
            for (predictor, field, turn), parts in self._parts.items()
        ]
