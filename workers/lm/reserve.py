"""What a budget keeps of one role for the final evaluation: it asks the baseline's rows again, of a larger program."""

from collections import deque
from dataclasses import dataclass, field

from dspy_service.domain.journal_entry import JournalEntry
from workers.lm.meter import Spending

_Cost = tuple[int, int, float]
"""Prompt tokens, completion tokens, USD."""


@dataclass
class Reserve:
    """As many calls as the baseline's, at the price of the dearest stretch of so many calls since.

    The baseline's own price would not do: demonstrations make a prompt several times as long.
    """

    kept: Spending = field(default_factory=Spending)
    _stretch: deque[_Cost] = field(default_factory=deque)
    _sums: _Cost = (0, 0, 0.0)

    def baseline_used(self, entry: JournalEntry) -> None:
        """Count a call that the final evaluation will make again."""
        self.kept.add(entry)

    def compile_used(self, entry: JournalEntry) -> None:
        """Note what calls cost by now; equal ones count each time, for the final evaluation may ask other questions."""
        if not self.kept.calls:
            return
        self._stretch.append((entry.prompt_tokens, entry.completion_tokens, entry.cost_usd or 0.0))
        self._add(self._stretch[-1], 1)
        if len(self._stretch) > self.kept.calls:
            self._add(self._stretch.popleft(), -1)
        if len(self._stretch) == self.kept.calls:
            prompt_tokens, completion_tokens, usd = self._sums
            self.kept.prompt_tokens = max(self.kept.prompt_tokens, prompt_tokens)
            self.kept.completion_tokens = max(self.kept.completion_tokens, completion_tokens)
            self.kept.usd = max(self.kept.usd, usd)

    def _add(self, cost: _Cost, sign: int) -> None:
        prompt_tokens, completion_tokens, usd = self._sums
        self._sums = (prompt_tokens + sign * cost[0], completion_tokens + sign * cost[1], usd + sign * cost[2])
