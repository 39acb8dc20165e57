"""Texts of fields as facts of a run, and the promise about them.

The promise: for each text field, its last ``replace`` (or nothing) followed by the tokens after it is the field's
final value, character by character.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from pydantic import JsonValue

from dspy_service.domain.serving.run_events import FieldDone, TextReplaced, TokenWritten
from workers.serving.field_streams.characters import mended, mended_value, waits_for_half
from workers.serving.field_streams.field_stream import FieldDelta, OutputField

REASONING_FIELDS: Final = frozenset({"reasoning", "next_thought"})
"""Of DSPy's ChainOfThought and ReAct: not an answer."""


class _Sent:
    """What readers have of one field: its text in pieces, and half a character that waits for the other half."""

    def __init__(self, text: str = "") -> None:
        self.pieces = [text]
        self.length = len(text)
        self.half = ""


class FieldWriter:
    """One per writing of a predictor's fields; ``retract`` before another call of a language model writes them anew.

    Args:
        predictor: DSPy's name of it.
        fields: The output fields of its signature, in order.
        turn: How often the predictor has written its fields before, in the same run.
    """

    def __init__(self, predictor: str, fields: Sequence[OutputField], *, turn: int = 0) -> None:
        self._predictor = predictor
        self._fields = list(fields)
        self._turn = turn
        self._sent = {field.name: _Sent() for field in fields if field.is_text}

    @property
    def has_text(self) -> bool:
        """Whether readers have some text by now."""
        return any(sent.length for sent in self._sent.values())

    def write(self, deltas: Sequence[FieldDelta]) -> list[TokenWritten]:
        """Return the tokens to send, one for all that follows each other in a field."""
        return [
            token
            for name, run in groupby(deltas, key=attrgetter("field"))
            for token in self._tokens(name, "".join(delta.text for delta in run))
        ]

    def retract(self) -> list[TextReplaced]:
        """Take back all that was sent."""
        return [self._replaced(name, "") for name, sent in self._sent.items() if sent.length]

    def reconcile(self, values: Mapping[str, JsonValue]) -> list[TokenWritten | TextReplaced | FieldDone]:
        """Make what was sent equal to what DSPy parsed, and say that the fields are done.

        Args:
            values: Output field to final value. One that is missing here is left as it was sent, as after an error;
                one of a text field that is no string has no text.
        """
        facts: list[TokenWritten | TextReplaced | FieldDone] = []
        for name, is_text in self._fields:
            if name not in values:
                continue
            value = mended_value(values[name])
            if is_text:
                facts += self._completed(name, value if isinstance(value, str) else "")
            facts.append(FieldDone(field=name, predictor=self._predictor, value=value, turn=self._turn))
        return facts

    def _completed(self, name: str, final: str) -> list[TokenWritten | TextReplaced]:
        sent = self._sent[name]
        sent.half = ""
        if not final.startswith("".join(sent.pieces)):
            return [self._replaced(name, final)]
        return [*self._tokens(name, final[sent.length :])]

    def _tokens(self, name: str, text: str) -> list[TokenWritten]:
        sent = self._sent[name]
        text = sent.half + text
        sent.half = text[-1] if waits_for_half(text) else ""
        text = mended(text[: len(text) - len(sent.half)])
        if not text:
            return []
        token = TokenWritten(
            type="reasoning" if name in REASONING_FIELDS else "token",
            field=name,
            predictor=self._predictor,
            text=text,
            offset=sent.length,
            turn=self._turn,
        )
        sent.pieces.append(text)
        sent.length += len(text)
        return [token]

    def _replaced(self, name: str, text: str) -> TextReplaced:
        self._sent[name] = _Sent(text)
        return TextReplaced(field=name, predictor=self._predictor, text=text, turn=self._turn)
