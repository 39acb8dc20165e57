r"""Fields of an answer as DSPy's ChatAdapter reads it: each below a line that begins with ``[[ ## name ## ]]``.

What ``ChatAdapter.parse`` does, and this does alike: it cuts with ``str.splitlines`` (so every line break becomes
``\n``), takes any name for a header, also of no field, keeps the first section of a name only, and strips values.
"""

import re
from collections.abc import Sequence
from typing import Final

from workers.serving.field_streams.field_stream import FieldDelta, OutputField
from workers.serving.field_streams.stripped_text import StrippedText

_HEADER: Final = re.compile(r"\[\[ ## (\w+) ## \]\]")
_MAYBE_HEADER: Final = re.compile(
    r"(?:\[(?:\[(?: (?:#(?:#(?: (?:\w+(?: (?:#(?:#(?: (?:\](?:\])?)?)?)?)?)?)?)?)?)?)?)?)?"
)
"""Every beginning of a header, the empty one too."""


class ChatStream:
    """Holds back the beginning of a line while it may become a header, and whitespace until text follows it."""

    def __init__(self, fields: Sequence[OutputField]) -> None:
        self._text_fields = {field.name for field in fields if field.is_text}
        self._seen: set[str] = set()
        self._field = ""
        self._section: StrippedText | None = None
        """Of the text field being written; None within anything else."""
        self._header_rest: StrippedText | None = None
        """Of the text behind a header in its own line, which DSPy strips by itself."""
        self._undecided: str | None = ""
        """The line so far while it may be a header; None once it is known not to be."""
        self._ended_in_return = False
        """Whether a line feed that comes next belongs to the line break before it."""

    def feed(self, delta: str) -> list[FieldDelta]:
        """Return the texts of fields that are certain by now."""
        if not delta:
            return []
        if self._ended_in_return:
            delta = delta.removeprefix("\n")
        self._ended_in_return = delta.endswith("\r")
        deltas: list[FieldDelta] = []
        for line in delta.splitlines(keepends=True):
            (text,) = line.splitlines()
            self._read(text, deltas)
            if len(text) != len(line):
                self._break_line(deltas)
        return deltas

    def end(self) -> list[FieldDelta]:
        """Return the beginning of a header that never became one."""
        deltas: list[FieldDelta] = []
        self._settle(deltas)
        return deltas

    def _read(self, text: str, deltas: list[FieldDelta]) -> None:
        if self._undecided is None:
            self._write(text, deltas)
            return
        line = self._undecided + text
        begun = line.lstrip()
        if header := _HEADER.match(begun):
            self._undecided = None
            self._open(header[1])
            self._write(line[header.end() :], deltas)  # an indented header leaves its own end behind, as in DSPy
        else:
            self._undecided = line
            if not _MAYBE_HEADER.fullmatch(begun):
                self._settle(deltas)

    def _settle(self, deltas: list[FieldDelta]) -> None:
        """Take the line so far for text."""
        line, self._undecided = self._undecided, None
        if line:
            self._write(line, deltas)

    def _open(self, name: str) -> None:
        is_shown = name in self._text_fields and name not in self._seen
        self._seen.add(name)
        self._field = name
        self._section = StrippedText() if is_shown else None
        self._header_rest = StrippedText()

    def _break_line(self, deltas: list[FieldDelta]) -> None:
        self._settle(deltas)
        self._header_rest = None
        self._undecided = ""
        self._write("\n", deltas)

    def _write(self, text: str, deltas: list[FieldDelta]) -> None:
        if self._section is None:
            return
        if self._header_rest is not None:
            text = self._header_rest.add(text)
        if shown := self._section.add(text):
            deltas.append(FieldDelta(self._field, shown))
