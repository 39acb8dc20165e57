"""A reader is told every event of a run once and in order, and never misses any in silence."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.adapters.run_record import RunTimes
from dspy_service.domain.serving.errors import RunLogGoneError, RunNotFoundError
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import RunEvent, Snapshot
from dspy_service.usecases.serving.watch_run import watch_run
from tests.support.run_samples import (
    COMPLETED,
    a_new_run,
    a_token,
    completed,
    facts,
    in_progress,
    kinds,
    queued,
    the_final,
)

SOON = 0.02
FOR_EVER = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(clock: Clock) -> MemoryRunStore:
    return MemoryRunStore(clock=clock)


async def write(runs: MemoryRunStore, run: Run, count: int, *, batch: int = 1) -> None:
    told = [a_token(f"{batch}.{number} ") for number in range(count)]
    await runs.append(run.run_id, fence=run.fence, facts=told, batch=batch)


async def all_told(story: AsyncGenerator[list[RunEvent], None]) -> list[RunEvent]:
    told: list[RunEvent] = []
    async with asyncio.timeout(10), aclosing(story):
        async for events in story:
            told += events
    return told


async def test_whoever_comes_after_the_end_is_told_everything(runs: MemoryRunStore) -> None:
    run = await completed(runs)

    told = await all_told(watch_run(run, quiet_seconds=FOR_EVER, runs=runs))

    assert kinds(told) == ["start", "final", "end"]
    assert told == await runs.events(run.run_id)


async def test_a_reader_goes_on_where_it_was(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    await write(runs, run, 5)
    ended = await runs.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

    told = await all_told(watch_run(ended, after=3, quiet_seconds=FOR_EVER, runs=runs))

    assert [event.seq for event in told] == [4, 5, 6, 7, 8]


async def test_whoever_has_seen_the_end_is_told_nothing(runs: MemoryRunStore) -> None:
    run = await completed(runs)

    assert await all_told(watch_run(run, after=run.last_seq, quiet_seconds=FOR_EVER, runs=runs)) == []
    assert await all_told(watch_run(run, after=run.last_seq + 7, quiet_seconds=FOR_EVER, runs=runs)) == []


async def test_a_number_that_the_store_never_gave_out_hides_nothing_new(runs: MemoryRunStore) -> None:
    run = await queued(runs)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(all_told(watch_run(run, after=99, quiet_seconds=FOR_EVER, runs=runs)))
        await runs.cancel(run.run_id, reason="asked")

    assert kinds(reader.result()) == ["cancelled", "end"]


async def test_silence_is_told(runs: MemoryRunStore) -> None:
    run = await queued(runs)

    async with aclosing(watch_run(run, quiet_seconds=SOON, runs=runs)) as story:
        told = [await anext(story) for _ in range(3)]

    assert [kinds(events) for events in told] == [["start"], [], []]


async def test_a_reader_who_is_behind_is_told_neighbouring_tokens_as_one(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    told = [a_token("x", offset=number) for number in range(40)]
    await runs.append(run.run_id, fence=1, facts=told, batch=1)
    ended = await runs.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])

    events = await all_told(watch_run(ended, after=2, quiet_seconds=FOR_EVER, runs=runs))

    assert [event.seq for event in events] == [41, 42]
    assert facts(events)[0] == a_token("x" * 39, offset=1)


async def test_what_was_trimmed_is_told_by_a_snapshot(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    for batch in range(1, 23):
        await write(runs, run, 500, batch=batch)
    ended = await runs.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

    told = await all_told(watch_run(ended, quiet_seconds=FOR_EVER, runs=runs))

    assert kinds(told)[:3] == ["start", "snapshot", "token"]
    assert [event.seq for event in told[1:]] == list(range(told[1].seq, ended.last_seq + 1))
    whole = "".join(f"{batch}.{number} " for batch in range(1, 23) for number in range(500))
    assert FieldTexts.of(facts(told)).text("answer") == whole


async def test_a_reader_whose_place_was_trimmed_goes_on_from_the_snapshot(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    for batch in range(1, 23):
        await write(runs, run, 500, batch=batch)
    ended = await runs.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])

    told = await all_told(watch_run(ended, after=100, quiet_seconds=FOR_EVER, runs=runs))

    assert isinstance(told[0].fact, Snapshot)
    assert told[-1].seq == ended.last_seq


async def test_events_that_are_not_kept_any_more_are_an_error(runs: MemoryRunStore, clock: Clock) -> None:
    run = await completed(runs)
    clock.go_on(901)

    with pytest.raises(RunLogGoneError):
        await all_told(watch_run(run, quiet_seconds=FOR_EVER, runs=runs))


async def test_a_record_that_is_not_kept_any_more_is_an_error(runs: MemoryRunStore, clock: Clock) -> None:
    run = await completed(runs)
    clock.go_on(24 * 3600)

    with pytest.raises(RunNotFoundError):
        await all_told(watch_run(run, quiet_seconds=FOR_EVER, runs=runs))


@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
async def test_a_run_lives_as_long_as_it_is_read(clock: Clock, on_disconnect: str) -> None:
    runs = MemoryRunStore(RunTimes(grace_seconds=3 * SOON), clock=clock)
    run = await queued(runs, a_new_run(on_disconnect="cancel" if on_disconnect == "cancel" else "continue"))

    async with aclosing(watch_run(run, quiet_seconds=2 * SOON, runs=runs)) as story:
        for _ in range(5):
            await anext(story)
            clock.go_on(2.9 * SOON)
            assert await runs.reap(lease_seconds=0) == []
    clock.go_on(0.2 * SOON)

    ended = await runs.reap(lease_seconds=0)
    assert [each.run_id for each in ended] == ([run.run_id] if on_disconnect == "cancel" else [])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.lists(st.integers(0, 400), max_size=6))
async def test_a_reader_who_comes_back_again_and_again_sees_everything_once(
    batches: list[int], cuts: list[int]
) -> None:
    runs = MemoryRunStore()
    run = await in_progress(runs)
    for batch, count in enumerate(batches, start=1):
        await write(runs, run, count, batch=batch)
    ended = await runs.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])
    seen: list[int] = []

    for cut in [*cuts, ended.last_seq]:
        async with aclosing(watch_run(ended, after=len(seen), quiet_seconds=FOR_EVER, runs=runs)) as story:
            async for events in story:
                taken = events[:cut]
                seen += [event.seq for event in taken]
                if len(taken) < len(events):
                    break

    assert seen == list(range(1, ended.last_seq + 1))


async def test_a_hole_that_nothing_stands_for_is_an_error(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    await write(runs, run, 5)
    ended = await runs.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])
    del runs._runs[run.run_id].events[1:3]

    with pytest.raises(RunLogGoneError):
        await all_told(watch_run(ended, after=1, quiet_seconds=FOR_EVER, runs=runs))


class SlowToHear(MemoryRunStore):
    """Hears of nothing at first, as when a run ends between two looks."""

    async def watch(self, run_id: str, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[RunEvent], None]:
        yield []
        async with aclosing(super().watch(run_id, after=after, quiet_seconds=quiet_seconds)) as news:
            async for events in news:
                yield events


async def test_what_has_not_been_heard_of_yet_is_no_loss() -> None:
    runs = SlowToHear()
    run = await completed(runs)

    told = await all_told(watch_run(run, quiet_seconds=FOR_EVER, runs=runs))

    assert kinds(told) == ["start", "final", "end"]
