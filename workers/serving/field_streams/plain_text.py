"""The whole answer is the one field: no markers, so the first token is the model's first."""

from workers.serving.field_streams.field_stream import FieldDelta
from workers.serving.field_streams.stripped_text import StrippedText


class PlainTextStream:
    """For programs whose only output is a text; its value is the answer without the whitespace around it."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._text = StrippedText()

    def feed(self, delta: str) -> list[FieldDelta]:
        """Return all but whitespace at the end."""
        shown = self._text.add(delta)
        return [FieldDelta(self._field, shown)] if shown else []

    def end(self) -> list[FieldDelta]:
        """Return nothing: only whitespace was held back."""
        return []
