"""Fields of an answer as DSPy's JSONAdapter reads it: members of one object, whatever stands before or behind it."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Final

from workers.serving.field_streams.field_stream import FieldDelta, OutputField
from workers.serving.field_streams.json_string import JsonString

_NAME: Final = re.compile(r'[\s,]*(?:"((?:[^"\\]++|\\.)*+)"\s*:\s*(?=\S)|(\}))', re.DOTALL)
"""The name of a member, up to the first character of its value; or the object's end."""
_LONGEST_NAME: Final = 1_000
"""Characters; more before a colon is no object."""
_MARK: Final = re.compile(r'["\[\]{},]')
"""Where a value that is not shown may end, or hide its end."""
_QUOTED: Final = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)


class JsonObjectStream:
    """Decodes the texts of the object as they come, and passes over all other values.

    DSPy mends what is not JSON by rules that look ahead. Where those may apply, this stops; what it has shown by
    then is most often the beginning of the value.
    """

    def __init__(self, fields: Sequence[OutputField]) -> None:
        self._text_fields = {field.name for field in fields if field.is_text}
        self._rest = ""
        """What came and was not read before the newest piece did."""
        self._at = 0
        """Where reading goes on in it."""
        self._step: Callable[[], bool] = self._find_object
        """Reads on; whether it got anywhere, or needs more of the answer first."""
        self._field = ""
        self._string = JsonString()
        self._depth = 0
        self._deltas: list[FieldDelta] = []

    def feed(self, delta: str) -> list[FieldDelta]:
        """Return the texts of fields that are certain by now."""
        self._rest += delta
        while self._at < len(self._rest) and self._step():
            pass
        self._rest, self._at = self._rest[self._at :], 0
        deltas, self._deltas = self._deltas, []
        return deltas

    def end(self) -> list[FieldDelta]:
        """Return nothing: what is held back is no text by itself."""
        return []

    def _find_object(self) -> bool:
        brace = self._rest.find("{", self._at)
        if brace < 0:
            return self._wait_behind_all()
        self._at = brace + 1
        self._step = self._read_name
        return True

    def _read_name(self) -> bool:
        match = _NAME.match(self._rest, self._at)
        if match is None:
            return self._stop() if _is_no_name(self._rest[self._at :]) else False
        if match[2]:
            return self._stop()
        self._at = match.end()
        name = _decoded(match[1])
        if self._rest[self._at] == '"' and name in self._text_fields:
            self._text_fields.remove(name)
            self._field, self._string = name, JsonString()
            self._at += 1
            self._step = self._read_text
        else:
            self._depth = 0
            self._step = self._pass_over
        return True

    def _read_text(self) -> bool:
        text, self._at = self._string.read(self._rest, self._at)
        if text:
            self._deltas.append(FieldDelta(self._field, text))
        if self._string.is_closed:
            self._step = self._read_name
        return self._string.is_closed

    def _pass_over(self) -> bool:
        mark = _MARK.search(self._rest, self._at)
        if mark is None:
            return self._wait_behind_all()
        self._at = mark.end()
        match mark[0]:
            case '"':
                self._step = self._pass_over_string
            case "{" | "[":
                self._depth += 1
            case "," if self._depth == 0:
                self._step = self._read_name
            case "}" | "]" if self._depth == 0:
                return self._stop()
            case "}" | "]":
                self._depth -= 1
            case _:
                pass
        return True

    def _pass_over_string(self) -> bool:
        quoted = _QUOTED.match(self._rest, self._at)
        self._at = quoted.end() if quoted else self._at
        if not self._rest.startswith('"', self._at):
            return False  # nothing is left, or a backslash that waits for what it escapes
        self._at += 1
        self._step = self._pass_over
        return True

    def _stop(self) -> bool:
        """Read nothing more: the object is over, or it is none."""
        self._text_fields = set()
        self._step = self._wait_behind_all
        return True

    def _wait_behind_all(self) -> bool:
        self._at = len(self._rest)
        return False


def _is_no_name(rest: str) -> bool:
    begun = rest.lstrip(", \t\r\n")
    return len(rest) > _LONGEST_NAME or (begun != "" and begun[0] != '"')


def _decoded(name: str) -> str:
    try:
        return str(json.loads(f'"{name}"', strict=False))
    except ValueError:
        return name
