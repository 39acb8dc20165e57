"""Makes any text safe to send: valid UTF-8, no terminal control, bounded length."""

import re

MAX_MESSAGE_CHARS = 32 * 1024
"""Of one log message; DSPy logs whole proposals, but nothing that a person reads is longer."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""Everything that can move a cursor or start a line; newline and tab stay."""


def clean(text: str, *, max_chars: int = MAX_MESSAGE_CHARS) -> str:
    """Return ``text`` without colour codes, control characters and lone surrogates, cut with a mark if too long."""
    if len(text) > max_chars:
        text = f"{text[:max_chars]} … [{len(text) - max_chars} characters cut]"
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub("", _ANSI.sub("", text))
    return text.encode("utf-8", "replace").decode("utf-8")


def one_line(text: str, *, max_chars: int = 500) -> str:
    """Return the text on one line, cut with an ellipsis if too long."""
    line = " ".join(clean(text).split())
    return line if len(line) <= max_chars else f"{line[: max_chars - 1]}…"
