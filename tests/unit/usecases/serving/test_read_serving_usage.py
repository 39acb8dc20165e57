"""Whoever asks what serving has cost chooses runs and days."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.serving.usage_view import ServingUsageView
from dspy_service.usecases.serving.read_serving_usage import UsageQuery, read_serving_usage
from tests.support.usage_samples import a_run_of, a_usage, ended

TODAY = date(2026, 3, 1)


class Clock:
    now = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(clock: Clock) -> MemoryRunStore:
    return MemoryRunStore(clock=clock)


async def ask(runs: MemoryRunStore, *, today: date = TODAY, **query: Any) -> ServingUsageView:  # noqa: ANN401  # by name
    return await read_serving_usage(UsageQuery(tenant="local", **query), today=today, runs=runs)


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ({}, 15),
        ({"program": "qa"}, 7),
        ({"version": 1}, 11),
        ({"program": "qa", "version": 2}, 4),
        ({"key_id": "k1"}, 10),
        ({"key_id": "nobody's"}, 0),
    ],
)
async def test_only_the_runs_that_were_asked_for_are_summed_up(
    runs: MemoryRunStore, query: dict[str, Any], calls: int
) -> None:
    await ended(runs, a_run_of(), a_usage(calls=1))
    await ended(runs, a_run_of(key_id="k1"), a_usage(calls=2))
    await ended(runs, a_run_of(version=2), a_usage(calls=4))
    await ended(runs, a_run_of("other", key_id="k1"), a_usage(calls=8))
    await ended(runs, a_run_of(tenant="acme"), a_usage(calls=16))

    assert (await ask(runs, **query)).totals.calls == calls


async def test_thirty_days_until_today_are_what_nobody_chose(runs: MemoryRunStore, clock: Clock) -> None:
    await ended(runs, usage=a_usage(calls=1))
    clock.now -= timedelta(days=29)
    await ended(runs, usage=a_usage(calls=2))
    clock.now -= timedelta(days=1)
    await ended(runs, usage=a_usage(calls=4))

    found = await ask(runs)

    assert (found.first_day, found.last_day, found.totals.calls) == (date(2026, 1, 31), TODAY, 3)


async def test_both_days_are_included(runs: MemoryRunStore, clock: Clock) -> None:
    for calls in (1, 2, 4):
        await ended(runs, usage=a_usage(calls=calls))
        clock.now += timedelta(minutes=2) if calls == 1 else timedelta(days=1)

    found = await ask(runs, first=date(2026, 3, 2), last=date(2026, 3, 3))

    assert found.totals.calls == 6


async def test_days_that_run_backwards_are_refused(runs: MemoryRunStore) -> None:
    with pytest.raises(InvalidRequestError, match="is after `to`, which is 2026-03-01"):
        await ask(runs, first=TODAY + timedelta(days=1))


async def test_more_days_than_are_read_at_once_are_refused(runs: MemoryRunStore) -> None:
    await ask(runs, first=TODAY - timedelta(days=399))

    with pytest.raises(InvalidRequestError, match="more than 400 days before `to`"):
        await ask(runs, first=TODAY - timedelta(days=400))


@pytest.mark.parametrize("today", [date.min, date.max])
async def test_the_first_and_the_last_of_all_days_are_days(runs: MemoryRunStore, today: date) -> None:
    assert (await ask(runs, today=today)).totals.runs == 0
