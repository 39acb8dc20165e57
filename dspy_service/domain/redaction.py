"""Takes secrets out of text that people read: log lines and error answers."""

import re
from collections.abc import Iterable

from dspy_service.domain.secrets import SECRET_VALUE

HIDDEN = "[redacted]"

MIN_SECRET_LENGTH = 6
"""Of a configured value: a shorter one would be found in ordinary words."""

_PHRASES = (
    re.compile(
        r"(?P<kept>\b(?:proxy-)?authorization\b['\"]?\s*[:=,]\s*b?['\"]?(?:[a-z]+\s+)?)[^\s'\",;]+", re.IGNORECASE
    ),
    re.compile(r"(?P<kept>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"(?P<kept>://)[^/\s@'\"]+(?=@)"),  # a URL's user and password
    re.compile(
        r"(?P<kept>\b[\w-]*(?:api[_-]?key|secret[_-]?key|access[_-]?key|password|passwd|secret)['\"]?\s*[:=]\s*b?['\"]?)"
        r"[^\s'\",;&]{4,}",
        re.IGNORECASE,
    ),
)


def redact(text: str, values: Iterable[str] = ()) -> str:
    """Return ``text`` with ``values``, and whatever has the look of a secret, replaced."""
    for value in values:
        text = text.replace(value, HIDDEN)
    for phrase in _PHRASES:
        text = phrase.sub(rf"\g<kept>{HIDDEN}", text)
    return SECRET_VALUE.sub(HIDDEN, text)
