"""The counters of language model calls in memory."""

from collections import Counter
from typing import TYPE_CHECKING

from dspy_service.domain.call_counts import CallCount, CallCounts

if TYPE_CHECKING:
    from dspy_service.ports import CallLedger


class MemoryCallLedger:
    """Counters of one process."""

    def __init__(self) -> None:
        self._totals: Counter[CallCount] = Counter()
        self._reports: dict[str, int] = {}

    async def add(self, reporter: str, number: int, counts: CallCounts) -> None:
        """See CallLedger."""
        if self._reports.get(reporter, 0) < number:
            self._reports[reporter] = number
            self._totals.update(counts)

    async def totals(self) -> CallCounts:
        """See CallLedger."""
        return dict(self._totals)

    async def aclose(self) -> None:
        """See CallLedger: nothing to release."""


if TYPE_CHECKING:
    _proof: CallLedger = MemoryCallLedger()
