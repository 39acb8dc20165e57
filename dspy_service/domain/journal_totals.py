"""What those answers cost that a journal has no room for: without their texts, so that a budget holds all the same.

Each is a running total of one attempt: a later one says all that an earlier one does, so that it does not matter how
often, or in which order, they are found. As a text it is two lines, as an entry is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pydantic_core

from dspy_service.domain.journal_entry import SCHEMA_VERSION, JournalEntry
from dspy_service.domain.schema_version import require_known_version

_MARK: Final = "totals"
_START: Final = f'[{SCHEMA_VERSION},"{_MARK}",'.encode()
_NO_ANSWER: Final = b"null"
_FACTS: Final = 11

Owner = tuple[int, str, str]
"""Fence, role and model."""


@dataclass(frozen=True, slots=True)
class JournalTotals:
    """The paid calls of one role to one model whose answers one attempt did not keep."""

    fence: int
    role: str
    model: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    """Of the calls whose price is known."""
    unpriced_calls: int = 0
    estimated_calls: int = 0

    @property
    def owner(self) -> Owner:
        """Whose running total it is."""
        return self.fence, self.role, self.model

    def plus(self, entry: JournalEntry) -> "JournalTotals":
        """Return the total with one more paid call in it."""
        return replace(
            self,
            calls=self.calls + 1,
            prompt_tokens=self.prompt_tokens + entry.prompt_tokens,
            completion_tokens=self.completion_tokens + entry.completion_tokens,
            cost_usd=self.cost_usd + (entry.cost_usd or 0.0),
            unpriced_calls=self.unpriced_calls + (entry.cost_usd is None),
            estimated_calls=self.estimated_calls + entry.is_estimated,
        )

    def text(self) -> bytes:
        """Return the two lines, without a line break at their end."""
        facts = [
            SCHEMA_VERSION,
            _MARK,
            self.fence,
            self.role,
            self.model,
            self.calls,
            self.prompt_tokens,
            self.completion_tokens,
            self.cost_usd,
            self.unpriced_calls,
            self.estimated_calls,
        ]
        return pydantic_core.to_json(facts) + b"\n" + _NO_ANSWER

    @classmethod
    def parse(cls, text: bytes) -> "JournalTotals":
        """Read what :meth:`text` wrote.

        Raises:
            ValueError: it is something else.
            ConfigurationError: a newer release wrote it.
        """
        facts = pydantic_core.from_json(text.partition(b"\n")[0])
        if isinstance(facts, list) and facts and type(facts[0]) is int:
            require_known_version("a running total", facts[0], known=SCHEMA_VERSION)
        if not _is_sound(facts):
            raise ValueError("the facts are not those of running totals")
        return cls(*facts[2:])


def is_totals(text: bytes) -> bool:
    """Whether a text of a journal is a running total, and no answer."""
    return text.startswith(_START)


def newest(totals: Iterable[JournalTotals]) -> dict[Owner, JournalTotals]:
    """Return the last word of each owner."""
    words: dict[Owner, JournalTotals] = {}
    for each in totals:
        known = words.get(each.owner)
        if known is None or known.calls < each.calls:
            words[each.owner] = each
    return words


def condensed(texts: Sequence[bytes]) -> list[bytes]:
    """Return a part of a journal without the running totals that a later one in it makes needless."""
    totals = newest(JournalTotals.parse(text) for text in texts if is_totals(text))
    return [text for text in texts if not is_totals(text)] + [each.text() for each in totals.values()]


def _is_sound(facts: Any) -> bool:  # noqa: ANN401  # JSON
    if not isinstance(facts, list) or len(facts) != _FACTS or facts[1] != _MARK:
        return False
    _, _, fence, role, model, calls, prompt_tokens, completion_tokens, cost_usd, *kinds = facts
    counts = (fence, calls, prompt_tokens, completion_tokens, *kinds)
    return (
        isinstance(role, str)
        and isinstance(model, str)
        and all(type(count) is int and count >= 0 for count in counts)
        and isinstance(cost_usd, float | int)
    )
