"""Makes JSON from a runner safe to keep and to show: plain text, finite numbers, and only so much of it."""

import math
from dataclasses import dataclass
from typing import Any, Final

from dspy_service.domain.errors import ProtocolError
from workers.supervisor.plain_text import escape, one_line

MAX_VALUES: Final = 100_000
MAX_DEPTH: Final = 64
MAX_CHARS: Final = 4 << 20
_INT_LIMIT: Final = 2**63  # what every reader of JSON takes for an integer


class TooMuchError(ProtocolError):
    """One message is nested too deeply, or made of too much."""


@dataclass(frozen=True)
class Plain:
    """A safe copy of what a runner sent."""

    value: Any
    values: int
    """How many values it is made of: each costs some 64 bytes of memory, whatever its text says."""


def plain(raw: object, *, max_values: int = MAX_VALUES, max_chars: int = MAX_CHARS) -> Plain:
    """Return a copy of a JSON value with its texts escaped and its keys on one line.

    Raises:
        TooMuchError: it is nested too deeply, made of too many values, or its texts are too long together.
    """
    copier = _Copier(max_values, max_chars)
    return Plain(copier.copy(raw, depth=0), copier.values)


class _Copier:
    def __init__(self, max_values: int, max_chars: int) -> None:
        self._max_values = max_values
        self._max_chars = max_chars
        self._chars = 0
        self.values = 0

    def copy(self, raw: object, *, depth: int) -> Any:  # noqa: ANN401  # any JSON value
        self.values += 1
        if self.values > self._max_values:
            raise TooMuchError(f"it holds more than {self._max_values} values.")
        if depth > MAX_DEPTH:
            raise TooMuchError(f"it is nested more than {MAX_DEPTH} deep.")
        if isinstance(raw, dict):
            return {self._name(key): self.copy(value, depth=depth + 1) for key, value in raw.items()}
        if isinstance(raw, list):
            return [self.copy(value, depth=depth + 1) for value in raw]
        return self._text(raw) if isinstance(raw, str) else _number(raw)

    def _name(self, key: str) -> str:
        self._count(key)
        return one_line(key)

    def _text(self, text: str) -> str:
        self._count(text)
        return escape(text)

    def _count(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > self._max_chars:
            raise TooMuchError(f"its texts have more than {self._max_chars} characters.")


def _number(raw: object) -> object:
    """Return a number, a bool or None; None for a number that is not finite or that JSON's readers disagree on."""
    if isinstance(raw, float):
        return raw if math.isfinite(raw) else None
    return raw if not isinstance(raw, int) or -_INT_LIMIT <= raw < _INT_LIMIT else None
