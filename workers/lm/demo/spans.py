"""Cut a text into pieces that could be the answer of an extraction, with their shape and place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_PIECE: Final = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]*\w"  # e-mail
    r"|https?://[^\s,;)\"]*[^\s,;.)\"]"
    r"|\d{1,4}[./-]\d{1,2}[./-]\d{2,4}(?!\w)"  # date
    r"|[$€£]\s?\d+(?:[.,]\d+)*|\d{1,3}(?:,\d{3})+(?:\.\d+)?"  # amount
    r"|[^\W_](?:[\w.'\u2019-]*[^\W_])?"
)
_MAX_WORDS: Final = 6
_SHORTEST_ID: Final = 4  # "E04" is a code of a machine as often as a number of a case
_PIECE_LIMIT: Final = 400  # a longer text is cut: the model reads short messages


@dataclass(frozen=True)
class Span:
    """A piece of text with the word on each side of it, in lower case.

    Attributes:
        rank: How many spans of the same shape stand before it.
    """

    text: str
    shape: str
    before: str
    after: str
    rank: int


def shape_of(text: str) -> str:
    """The form of a text: letters become A, digits 9; "ORD-123" becomes "ORD-999".

    A short run of capitals followed by a digit or a dash is kept, because it names the kind of number.
    """
    if re.fullmatch(r"[A-Z]{2,4}[-_ ]?\d[\w-]*", text.upper()) and len(text) > _SHORTEST_ID:
        head = re.match(r"[A-Z]+", text.upper())
        prefix = head[0] if head else ""
        return prefix + re.sub(r"\d", "9", text[len(prefix) :].upper())
    return re.sub(r"[^\W\d_]+", "Aa", re.sub(r"\d", "9", text))


@lru_cache(maxsize=4096)
def find_spans(text: str, max_words: int = 1) -> tuple[Span, ...]:
    """All pieces of one to `max_words` words, from left to right."""
    pieces = list(_PIECE.finditer(text))[:_PIECE_LIMIT]
    seen: dict[str, int] = {}
    found = []
    for start, first in enumerate(pieces):
        for end in range(start, min(start + min(max_words, _MAX_WORDS), len(pieces))):
            piece = text[first.start() : pieces[end].end()]
            shape = shape_of(piece)
            found.append(
                Span(piece, shape, _word(pieces, start - 1), _word(pieces, end + 1), seen.get(shape, 0)),
            )
            seen[shape] = seen.get(shape, 0) + 1
    return tuple(found)


def _word(pieces: Sequence[re.Match[str]], index: int) -> str:
    if not 0 <= index < len(pieces):
        return ""
    word = pieces[index][0].lower()
    return "number" if any(char.isdigit() for char in word) else word
