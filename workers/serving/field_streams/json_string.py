"""A JSON string that is decoded while it comes in.

What is not JSON in it is read as ``json_repair`` reads it, which is what DSPy falls back to.
"""

import re
from typing import Final

_SPECIAL: Final = re.compile(r'["\\]')
_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_MAYBE_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_ESCAPED: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPED_WHEN_MENDED: Final = {**_ESCAPED, "/": "\\/", "f": "\\f"}


class JsonString:
    """One string, from behind its opening quote to its closing one.

    Whitespace is held back until something follows it: a string that needs mending, or that nothing ends, loses it.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._is_mended = False
        """Whether something was not JSON, so that the rules of mending hold from here."""
        self._space = ""

    def read(self, text: str, at: int) -> tuple[str, int]:
        """Read on in a text, from a place in it.

        Returns:
            What may be shown, and where it was read to: behind the closing quote, or to an escape not complete yet.
        """
        pieces = [self._space]
        while not self.is_closed and at < len(text):
            if text[at] == '"':
                self.is_closed = True
                at += 1
            elif text[at] == "\\":
                piece, length = self._escape(text, at)
                if length == 0:
                    break
                pieces.append(piece)
                at += length
            else:
                at = self._plain(text, at, pieces)
        return self._shown("".join(pieces)), at

    def _plain(self, text: str, at: int, pieces: list[str]) -> int:
        special = _SPECIAL.search(text, at)
        end = special.start() if special else len(text)
        self._is_mended = self._is_mended or _CONTROL.search(text, at, end) is not None
        pieces.append(text[at:end])
        return end

    def _escape(self, text: str, at: int) -> tuple[str, int]:
        """Return what an escape stands for and its length; 0 while it is not complete."""
        if escape := _ESCAPE.match(text, at):
            if escape[1]:
                return chr(int(escape[1], 16)), 6
            return (_ESCAPED_WHEN_MENDED if self._is_mended else _ESCAPED)[escape[2]], 2
        if _MAYBE_ESCAPE.fullmatch(text, at):
            return "", 0
        self._is_mended = True
        return "\\", 1

    def _shown(self, text: str) -> str:
        if self.is_closed and not (self._is_mended and text.endswith("\n")):
            return text
        shown = text.rstrip()
        self._space = text[len(shown) :]
        return shown
