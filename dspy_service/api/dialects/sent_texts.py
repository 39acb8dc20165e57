"""What a reader has been told of each field, for dialects that cannot take anything back."""

from dataclasses import dataclass, field
from typing import NamedTuple

from dspy_service.domain.serving.run_events import RunFact, Snapshot, TextReplaced, TokenWritten

Place = tuple[str, str, int]
"""Predictor, field and turn."""


class MoreText(NamedTuple):
    """Text that follows, in its field, what was told before."""

    field: str
    predictor: str
    text: str
    turn: int = 0
    is_reasoning: bool = False


@dataclass
class _Field:
    told: list[str] = field(default_factory=list)
    now: str | None = None
    """The text as it is, while it is shorter than what was told; None: no need to know."""
    is_in_step: bool = True
    is_reasoning: bool = False


class SentTexts:
    """Turns tokens and replacements into text that may be appended.

    A replacement that goes on from what was told is told as its rest. One that takes something back cannot be told: its
    field says nothing more until its text begins with all that was told, as it does when a second try of a model says
    the same again. The event ``final`` then brings what is right.
    """

    def __init__(self) -> None:
        self._fields: dict[Place, _Field] = {}

    def more(self, fact: RunFact) -> list[MoreText]:
        """Return what may be appended because of a fact; empty for facts that are no text."""
        if isinstance(fact, TokenWritten):
            place = self._fields.setdefault((fact.predictor, fact.field, fact.turn), _Field())
            place.is_reasoning = fact.type == "reasoning"
            return self._told(fact, _appended(place, fact.text))
        if isinstance(fact, TextReplaced):
            place = self._fields.setdefault((fact.predictor, fact.field, fact.turn), _Field())
            return self._told(fact, _replaced(place, fact.text))
        if isinstance(fact, Snapshot):
            return [more for each in fact.fields for more in self.more(each)]
        return []

    def told(self, name: str, *, predictor: str = "self", turn: int = 0) -> str:
        """Return all that was told of a field."""
        place = self._fields.get((predictor, name, turn))
        return "" if place is None else "".join(place.told)

    def _told(self, fact: TokenWritten | TextReplaced, text: str) -> list[MoreText]:
        if not text:
            return []
        place = self._fields[fact.predictor, fact.field, fact.turn]
        return [MoreText(fact.field, fact.predictor, text, fact.turn, place.is_reasoning)]


def _appended(place: _Field, text: str) -> str:
    if place.is_in_step:
        place.told.append(text)
        return text
    return "" if place.now is None else _replaced(place, place.now + text)


def _replaced(place: _Field, text: str) -> str:
    """Return what follows all that was told, if the text begins with that."""
    told = "".join(place.told)
    place.told = [told]
    place.is_in_step = text.startswith(told)
    if place.is_in_step:
        place.told, place.now = [text], None
        return text[len(told) :]
    place.now = text if told.startswith(text) else None
    return ""
