"""What served programs have cost."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from dspy_service.domain.serving.usage import UsageEntry, UsageFigures


class RunUsage(Protocol):
    """Counters of ended runs. A run is counted once, in the atomic step that ends it, by whomever it is ended.

    What it cost is the ``usage`` of its record then: see ``RunRecords.finish`` and ``append``.
    """

    async def usage(self, tenant: str, *, first: date, last: date) -> Sequence[UsageEntry]:
        """Return what was counted from the first day to the last one, both included; in no order.

        Days are forgotten some time after their last run.
        """
        ...

    async def usage_totals(self) -> UsageFigures:
        """Return the counters of all tenants since the store began; they only grow."""
        ...
