"""Fields of an answer as DSPy's XMLAdapter reads it: elements beside each other, with entities, without a root."""

from collections.abc import Sequence
from xml.parsers import expat

from workers.serving.field_streams.field_stream import FieldDelta, OutputField
from workers.serving.field_streams.stripped_text import StrippedText

_FIELD_DEPTH = 2


class XmlStream:
    """Lets the parser that DSPy itself uses read along, so that both agree on what is text and where it ends.

    The root that is put around the answer, as DSPy does, leaves no place for a document type: no entity can be
    declared. The first thing that is not XML ends the stream, as it ends DSPy's parsing.
    """

    def __init__(self, fields: Sequence[OutputField]) -> None:
        self._text_fields = {field.name for field in fields if field.is_text}
        self._field = ""
        self._section: StrippedText | None = None
        self._depth = 0
        self._deltas: list[FieldDelta] = []
        self._is_broken = False
        self._parser = expat.ParserCreate(None, "}")  # with name spaces, as ElementTree does
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._stop
        self._parser.CharacterDataHandler = self._write
        read_late = getattr(self._parser, "SetReparseDeferralEnabled", bool)  # newer Pythons put off cut tokens
        read_late(False)
        self.feed("<dspy_root>")

    def feed(self, delta: str) -> list[FieldDelta]:
        """Return the texts of fields that are certain by now."""
        return self._parse(delta, is_last=False)

    def end(self) -> list[FieldDelta]:
        """Return what the parser still held."""
        return self._parse("</dspy_root>", is_last=True)

    def _parse(self, text: str, *, is_last: bool) -> list[FieldDelta]:
        if not self._is_broken:
            try:
                self._parser.Parse(text, is_last)
            except (expat.ExpatError, ValueError):  # the second: half a surrogate pair
                self._is_broken = True
        deltas, self._deltas = self._deltas, []
        return deltas

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._section = None  # an element inside a text makes DSPy write the text anew
        name = attributes.get("key", tag) if tag == "entry" else tag
        if self._depth == _FIELD_DEPTH and name in self._text_fields:
            self._text_fields.remove(name)
            self._field = name
            self._section = StrippedText()

    def _stop(self, _tag: str) -> None:
        self._depth -= 1
        self._section = None

    def _write(self, text: str) -> None:
        if self._section is not None and (shown := self._section.add(text)):
            self._deltas.append(FieldDelta(self._field, shown))
