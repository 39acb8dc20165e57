"""What the clients, and the command line, tell of the costs of serving."""

from datetime import date

import httpx

from dspy_service.cli.telling import serving_usage_lines
from dspy_service.domain.serving.usage import UsageEntry, UsageFigure
from dspy_service.domain.serving.usage_view import UsageGroup, view_usage
from tests.unit.client.service import ScriptedService

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
FIGURES = {
    UsageFigure.COMPLETED: 3,
    UsageFigure.CALLS: 2,
    UsageFigure.CACHED_CALLS: 1,
    UsageFigure.PROMPT_TOKENS: 20,
    UsageFigure.COMPLETION_TOKENS: 6,
    UsageFigure.COST_NANO_USD: 1_500_000,
}
ENTRIES = [
    UsageEntry(MONDAY, "qa", 1, "k1", FIGURES),
    UsageEntry(TUESDAY, "qa", 2, None, {UsageFigure.FAILED: 2, UsageFigure.CANCELLED: 1}),
]


def lines(group_by: UsageGroup | None, *, limit: int = 10) -> list[str]:
    return list(serving_usage_lines(view_usage(ENTRIES, first=MONDAY, last=TUESDAY, group_by=group_by, limit=limit)))


async def test_both_clients_ask_for_what_they_are_told_to() -> None:
    view = view_usage(ENTRIES, first=MONDAY, last=TUESDAY, group_by="day", limit=10)
    body = {**view.model_dump(mode="json"), "mood": "good"}
    service = ScriptedService({"/usage": [httpx.Response(200, json=body) for _ in range(2)]})

    blocking = service.client().runs.usage(program="qa", version=2, first=MONDAY, last=TUESDAY, group_by="day", limit=5)
    async with service.async_client() as client:
        asynchronous = await client.runs.usage(key_id="k1")

    assert blocking == asynchronous == view
    first, second = (dict(request.url.params) for request in service.requests)
    assert first == {
        "program": "qa",
        "version": "2",
        "from": "2026-01-05",
        "to": "2026-01-06",
        "group_by": "day",
        "limit": "5",
    }
    assert second == {"key_id": "k1"}


def test_the_totals_come_before_the_groups() -> None:
    assert lines("version") == [
        "2026-01-05 to 2026-01-06: 6 runs (2 failed, 1 cancelled), 2 calls and 1 for free, 20 + 6 tokens, 0.0015 USD",
        "  qa@v1: 3 runs, 2 calls and 1 for free, 20 + 6 tokens, 0.0015 USD",
        "  qa@v2: 3 runs (2 failed, 1 cancelled), 0 calls and 0 for free, 0 + 0 tokens, 0.0000 USD",
    ]


def test_every_group_has_a_name() -> None:
    names = {group: [line.split(":")[0].strip() for line in lines(group)[1:]] for group in ("program", "key", "day")}

    assert names == {
        "program": ["qa"],
        "key": ["k1", "without a key"],
        "day": ["2026-01-05", "2026-01-06"],
    }


def test_what_is_left_out_estimated_or_without_a_price_is_said() -> None:
    figures = {UsageFigure.CALLS: 5, UsageFigure.ESTIMATED_CALLS: 2, UsageFigure.UNPRICED_CALLS: 3}
    entries = [*ENTRIES, UsageEntry(MONDAY, "qa", 1, None, figures)]

    told = list(serving_usage_lines(view_usage(entries, first=MONDAY, last=TUESDAY, group_by="version", limit=1)))

    assert told[2:] == [
        "  There are more groups; narrow it down.",
        "  2 calls came without token counts; theirs, and their cost, are estimated.",
        "  3 calls have no known price; they are in no sum of money.",
    ]
