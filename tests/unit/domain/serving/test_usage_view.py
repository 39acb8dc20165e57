"""Usage is summed up in all, and by what it is grouped by."""

from datetime import date

from dspy_service.domain.serving.usage import UsageEntry, UsageFigure
from dspy_service.domain.serving.usage_view import ServingUsageView, UsageGroup, view_usage

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)


def an_entry(
    calls: int, *, day: date = MONDAY, program: str = "qa", version: int = 1, key_id: str | None = None
) -> UsageEntry:
    figures = {UsageFigure.COMPLETED: 1, UsageFigure.CALLS: calls, UsageFigure.COST_NANO_USD: calls * 1_000_000}
    return UsageEntry(day, program, version, key_id, figures)


ENTRIES = [
    an_entry(1, day=TUESDAY),
    an_entry(2, key_id="k1"),
    an_entry(4, version=2, key_id="k2"),
    an_entry(8, program="other", day=TUESDAY, key_id="k1"),
]


def view(group_by: UsageGroup | None, *, limit: int = 100) -> ServingUsageView:
    return view_usage(ENTRIES, first=MONDAY, last=TUESDAY, group_by=group_by, limit=limit)


def test_without_a_group_there_are_only_the_totals() -> None:
    found = view(None)

    assert (found.totals.runs, found.totals.calls, found.totals.cost_usd) == (4, 15, 0.015)
    assert (found.data, found.has_more) == ([], False)


def test_the_dearest_program_comes_first() -> None:
    assert [(row.program, row.calls, row.runs) for row in view("program").data] == [("other", 8, 1), ("qa", 7, 3)]


def test_versions_are_those_of_their_programs() -> None:
    found = [(row.program, row.version, row.calls) for row in view("version").data]

    assert found == [("other", 1, 8), ("qa", 2, 4), ("qa", 1, 3)]


def test_what_was_called_without_a_key_is_a_group_too() -> None:
    assert [(row.key_id, row.calls) for row in view("key").data] == [("k1", 10), ("k2", 4), (None, 1)]


def test_days_stand_in_their_order() -> None:
    found = view("day").data

    assert [(row.day, row.calls, row.program) for row in found] == [(MONDAY, 6, None), (TUESDAY, 9, None)]


def test_a_limit_leaves_groups_out_and_says_so() -> None:
    found = view("version", limit=2)

    assert (len(found.data), found.has_more, found.totals.calls) == (2, True, 15)


def test_equally_dear_groups_stand_by_name() -> None:
    entries = [an_entry(1, program=name) for name in ("c", "a", "b")]

    found = view_usage(entries, first=MONDAY, last=MONDAY, group_by="program", limit=10)

    assert [row.program for row in found.data] == ["a", "b", "c"]


def test_runs_count_however_they_ended() -> None:
    figures = dict.fromkeys(UsageFigure, 1)

    totals = view_usage(
        [UsageEntry(MONDAY, "qa", 1, None, figures)], first=MONDAY, last=MONDAY, group_by=None, limit=1
    ).totals

    assert (totals.runs, totals.completed, totals.incomplete, totals.failed, totals.cancelled) == (4, 1, 1, 1, 1)


def test_the_days_are_told_by_the_names_of_the_query() -> None:
    assert '"from":"2026-01-05","to":"2026-01-06"' in view(None).model_dump_json()
