"""Makes text from a runner safe to show: nothing that moves a cursor, hides or reorders what a person reads."""

import re
from typing import Final

MAX_LINE_CHARS: Final = 8 * 1024
MAX_MESSAGE_CHARS: Final = 64 * 1024
MAX_NAME_CHARS: Final = 200

_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ud800-\udfff]"
)


def escape(text: str, *, max_chars: int = MAX_MESSAGE_CHARS) -> str:
    """Return ``text`` with control and bidirectional characters written as escapes, cut to ``max_chars``.

    Line feeds and tabs stay: one log entry may have several lines, and every reader gets it as JSON. Joiners stay too:
    Persian words and many emoji are written with them.
    """
    cut = len(text) - max_chars
    if cut > 0:
        text = text[:max_chars]
    safe = _UNSAFE.sub(_written, text)
    return f"{safe} … [{cut} more characters]" if cut > 0 else safe


def one_line(text: str, *, max_chars: int = MAX_NAME_CHARS) -> str:
    """Return ``text`` as a name or a sentence that stays on its line."""
    return escape(text.replace("\n", " ").replace("\t", " "), max_chars=max_chars)


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  # one byte
