"""Adds up what the answers cost that a full journal does not keep."""

from collections.abc import Iterable

from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.journal_totals import JournalTotals, newest


class UnkeptCosts:
    """Running totals of one attempt.

    Args:
        fence: Of the attempt.
        known: What stands in the journal already; what the same fence wrote is gone on with.
    """

    def __init__(self, fence: int, known: Iterable[JournalTotals]) -> None:
        self._fence = fence
        self._totals = newest(each for each in known if each.fence == fence)

    def add(self, entry: JournalEntry) -> bytes:
        """Count a paid answer that is not kept, and return what the journal must keep in its place."""
        fresh = JournalTotals(self._fence, entry.role, entry.model)
        total = self._totals.get(fresh.owner, fresh).plus(entry)
        self._totals[total.owner] = total
        return total.text()
