"""What serving has cost, as the HTTP API tells it: in all, and by program, version, key or day."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import Field

from dspy_service.domain.call_counts import NANOS_PER_USD
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.usage import RUN_FIGURES, UsageEntry, UsageFigure

UsageGroup = Literal["program", "version", "key", "day"]

_Place = tuple[str | int | date | None, ...]

_PARTS: Final[Mapping[UsageGroup, tuple[str, ...]]] = {
    "program": ("program",),
    "version": ("program", "version"),
    "key": ("key_id",),
    "day": ("day",),
}


class ServingFigures(Schema):
    """Runs that have ended, and what they came to."""

    runs: Annotated[int, Field(description="All of them; the next four are parts of it.")]
    completed: int
    incomplete: int
    failed: int
    cancelled: int
    calls: Annotated[int, Field(description="Answers of language models that were paid for.")]
    cached_calls: Annotated[int, Field(description="Answers that an earlier call had paid for; free.")]
    failed_calls: int
    prompt_tokens: Annotated[int, Field(description="Of paid calls, as are all that follow.")]
    completion_tokens: int
    cost_usd: Annotated[float, Field(description="US dollars of the calls whose price is known; see `unpriced_calls`.")]
    unpriced_calls: Annotated[int, Field(description="Calls of models without a known price: in no sum of money.")]
    estimated_calls: Annotated[
        int, Field(description="Calls whose provider told no tokens: these, and their cost, are estimated.")
    ]


class ServingUsageRow(ServingFigures):
    """The figures of one group; what it is not grouped by is null."""

    program: str | None = None
    version: int | None = None
    key_id: Annotated[str | None, Field(description="Null also for runs of open mode.")] = None
    day: Annotated[date | None, Field(description="By UTC, of the ends of the runs.")] = None


class ServingUsageView(Schema):
    """The answer of ``GET /usage``."""

    first_day: Annotated[date, Field(alias="from", description="By UTC.")]
    last_day: Annotated[date, Field(alias="to", description="Included.")]
    group_by: UsageGroup | None
    totals: ServingFigures
    data: Annotated[list[ServingUsageRow], Field(description="Days in their order, everything else the dearest first.")]
    has_more: Annotated[bool, Field(description="Whether `limit` left some out; `totals` has all.")]


def view_usage(
    entries: Iterable[UsageEntry], *, first: date, last: date, group_by: UsageGroup | None, limit: int
) -> ServingUsageView:
    """Sum entries up, and those of each group; without ``group_by`` there are only the totals."""
    totals: Counter[UsageFigure] = Counter()
    groups: dict[_Place, Counter[UsageFigure]] = {}
    parts = () if group_by is None else _PARTS[group_by]
    for entry in entries:
        totals.update(entry.figures)
        if parts:
            groups.setdefault(tuple(getattr(entry, part) for part in parts), Counter()).update(entry.figures)
    places = sorted(groups) if group_by == "day" else sorted(groups, key=lambda place: _dearest(place, groups[place]))
    data = [{**_shown(groups[place]), **dict(zip(parts, place, strict=True))} for place in places[:limit]]
    return ServingUsageView.model_validate(
        {
            "first_day": first,
            "last_day": last,
            "group_by": group_by,
            "totals": _shown(totals),
            "data": data,
            "has_more": len(places) > limit,
        }
    )


def _dearest(place: _Place, figures: Counter[UsageFigure]) -> tuple[int, int, str]:
    """Return what to sort by: the cost, then the calls, then the names."""
    return -figures[UsageFigure.COST_NANO_USD], -figures[UsageFigure.CALLS], str(place)


def _shown(figures: Counter[UsageFigure]) -> dict[str, int | float]:
    counts = {figure.value: figures[figure] for figure in UsageFigure if figure is not UsageFigure.COST_NANO_USD}
    cost_usd = figures[UsageFigure.COST_NANO_USD] / NANOS_PER_USD
    return {"runs": sum(figures[each] for each in RUN_FIGURES), **counts, "cost_usd": cost_usd}
