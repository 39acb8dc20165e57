"""What served programs have cost, in memory: counted as the scripts of the store on Redis count it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.usage import UsageEntry, UsageFigure, figures_of


@dataclass
class _Day:
    """A tenant's runs that ended on one UTC day."""

    counted_at: datetime
    accounts: dict[tuple[str, int, str | None], Counter[UsageFigure]] = field(default_factory=dict)


class UsageBook:
    """Counters of ended runs; a day is kept for so many seconds from its last run on."""

    def __init__(self, kept_seconds: float) -> None:
        self._kept = timedelta(seconds=kept_seconds)
        self._days: dict[tuple[str, date], _Day] = {}
        self.totals: Counter[UsageFigure] = Counter()

    def count(self, run: Run, now: datetime) -> None:
        """Count a run that ends now, with the usage of its record."""
        figures = Counter({UsageFigure(run.status): 1, **figures_of(run.usage)})
        day = self._days.setdefault((run.tenant, now.date()), _Day(now))
        day.counted_at = now
        day.accounts.setdefault((run.program, run.version, run.key_id), Counter()).update(figures)
        self.totals.update(figures)

    def entries(self, tenant: str, first: date, last: date, now: datetime) -> list[UsageEntry]:
        """Return what was counted on these days and is not forgotten."""
        return [
            UsageEntry(when, *account, figures=dict(figures))
            for (whose, when), day in self._days.items()
            if whose == tenant and first <= when <= last and now < day.counted_at + self._kept
            for account, figures in day.accounts.items()
        ]
