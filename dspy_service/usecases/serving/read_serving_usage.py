"""Reads what served programs have cost."""

from dataclasses import dataclass
from datetime import date

from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.serving.usage import UsageEntry
from dspy_service.domain.serving.usage_view import ServingUsageView, UsageGroup, view_usage
from dspy_service.ports.serving.usage import RunUsage

MAX_DAYS = 400
"""In one answer."""
DEFAULT_DAYS = 30
MAX_ROWS = 1_000


@dataclass(frozen=True)
class UsageQuery:
    """Which runs of a tenant are summed up; None: any."""

    tenant: str
    first: date | None = None
    """None: so that there are thirty days."""
    last: date | None = None
    """Included; None: today."""
    program: str | None = None
    version: int | None = None
    key_id: str | None = None
    group_by: UsageGroup | None = None
    limit: int = MAX_ROWS
    """Most groups; not a bound of the totals."""

    def takes(self, entry: UsageEntry) -> bool:
        """Whether it asks for these runs."""
        wanted = ((self.program, entry.program), (self.version, entry.version), (self.key_id, entry.key_id))
        return all(wish in {None, found} for wish, found in wanted)


async def read_serving_usage(query: UsageQuery, *, today: date, runs: RunUsage) -> ServingUsageView:
    """Sum up the runs that have ended; ``today`` is by UTC.

    Raises:
        InvalidRequestError: the days run backwards, or are more than ``MAX_DAYS``.
    """
    last = query.last or today
    first = query.first or date.fromordinal(max(1, last.toordinal() - DEFAULT_DAYS + 1))
    if first > last:
        raise InvalidRequestError.of("from", f"is after `to`, which is {last}")
    if (last - first).days >= MAX_DAYS:
        raise InvalidRequestError.of("from", f"is more than {MAX_DAYS} days before `to`; ask for them in parts")
    entries = await runs.usage(query.tenant, first=first, last=last)
    found = (entry for entry in entries if query.takes(entry))
    return view_usage(found, first=first, last=last, group_by=query.group_by, limit=query.limit)
