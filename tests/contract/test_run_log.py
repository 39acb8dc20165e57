"""A run's log: pages, trimming without a gap, and readers who see every event once until the end."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing
from itertools import accumulate

from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import (
    FieldDone,
    RunEvent,
    RunFact,
    Snapshot,
    SourceCited,
    SourcesFound,
    StatusNoted,
    TextReplaced,
)
from dspy_service.ports.serving.runs import RunStore
from dspy_service.usecases.serving.watch_run import watch_run
from tests.contract.run_backends import RunBackend, RunsInMemory, RunsOnRedis
from tests.support.run_samples import COMPLETED, a_token, facts, in_progress, queued, taken, the_final

FOR_EVER = 60.0


async def write(store: RunStore, run: Run, told: Sequence[RunFact], *, at_once: int = 700) -> None:
    for batch, first in enumerate(range(0, len(told), at_once), start=1):
        await store.append(run.run_id, fence=run.fence, facts=told[first : first + at_once], batch=batch)


async def seen_by_a_reader(store: RunStore, run_id: str, *, after: int = 0) -> list[int]:
    seen: list[int] = []
    async with asyncio.timeout(20), aclosing(store.watch(run_id, after=after, quiet_seconds=FOR_EVER)) as news:
        async for events in news:
            seen += [event.seq for event in events]
    return seen


async def restless_reader(store: RunStore, run: Run, dice: random.Random) -> list[RunEvent]:
    """Read to the end, but leave every now and then, and come back with the last number."""
    seen: list[RunEvent] = []
    while not seen or seen[-1].fact.type != "end":
        leave_after, position = dice.randrange(1, 12), seen[-1].seq if seen else 0
        async with aclosing(watch_run(run, after=position, quiet_seconds=FOR_EVER, runs=store)) as story:
            async for events in story:
                seen += events[:leave_after]
                leave_after -= len(events)
                if leave_after <= 0:
                    break
        run = await store.get(run.run_id)
    return seen


def a_long_answer(count: int) -> list[RunFact]:
    """Return facts of several fields, in which some text is replaced now and then."""
    told: list[RunFact] = [SourcesFound(sources=[SourceCited(id="p1", title="Blue", score=0.123456789012345)])]
    for number in range(count):
        field, turn = ("answer", "reasoning")[number % 2], number // 6000
        told.append(a_token(f'{number} é\U0001f600\n\x00"\\/', field=field, turn=turn))
        if number % 997 == 0:
            told.append(TextReplaced(field=field, predictor="self", text=f"<{number}>", turn=turn))
        if number % 4001 == 0:
            told.append(FieldDone(field="tags", predictor="other", value=["a", number]))
            told.append(StatusNoted(stage="lm", phase="end", name="demo", message="", elapsed_ms=1.5))
    return told


class TrimmingContract:
    async def test_a_log_that_fits_is_not_trimmed(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await write(backend.store, run, [a_token("x")] * 300)

        assert await backend.store.trimmed(run.run_id) == []
        assert [event.seq for event in await backend.store.events(run.run_id)] == list(range(1, 302))

    async def test_what_is_trimmed_is_told_by_what_stands_for_it(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        [start] = facts(await backend.store.events(run.run_id))
        told = a_long_answer(14_000)
        await write(backend.store, run, told)

        kept = await backend.store.events(run.run_id)
        stand_in = await backend.store.trimmed(run.run_id)

        snapshot = stand_in[-1]
        gone = [start, *told][: snapshot.seq]
        assert 10_000 <= len(kept) < 10_256
        assert kept[0].seq == snapshot.seq + 1
        assert facts(kept) == told[snapshot.seq - 1 :]
        assert facts(stand_in[:-1]) == [fact for fact in gone if fact.type in {"start", "sources", "field_done"}]
        assert snapshot.fact == Snapshot(fields=FieldTexts.of(gone).all())
        assert FieldTexts.of([*facts(stand_in), *facts(kept)]).all() == FieldTexts.of(told).all()
        assert [event.seq for event in stand_in] == sorted({event.seq for event in stand_in})
        assert snapshot.timestamp <= kept[0].timestamp

    async def test_numbers_go_on_after_trimming(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await write(backend.store, run, [a_token("x")] * 10_400)

        ended = await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

        assert ended.last_seq == 10_403
        assert [event.seq for event in await backend.store.events(run.run_id, after=10_401)] == [10_402, 10_403]


class WatchContract:
    async def test_a_reader_who_comes_late_sees_everything_until_the_end(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await write(backend.store, run, [a_token("x")] * 1500)
        ended = await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

        assert await seen_by_a_reader(backend.store, run.run_id) == list(range(1, ended.last_seq + 1))
        assert await seen_by_a_reader(backend.store, run.run_id, after=1400) == list(range(1401, ended.last_seq + 1))

    async def test_readers_see_what_comes_in_order_and_stop_at_the_end(self, backend: RunBackend) -> None:
        run = await queued(backend.store)

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(seen_by_a_reader(backend.store, run.run_id)) for _ in range(10)]
            await taken(backend.store, run)
            for batch in range(1, 21):
                await backend.store.append(run.run_id, fence=1, facts=[a_token("x")] * 8, batch=batch)
            await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

        assert [reader.result() for reader in readers] == [list(range(1, 164))] * 10

    async def test_readers_who_leave_and_come_back_lose_and_double_nothing(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        words = [f"{number} é\U0001f600 " for number in range(400)]
        offsets = [0, *accumulate(len(word) for word in words)]

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(restless_reader(backend.store, run, random.Random(n))) for n in range(20)]  # noqa: S311  # a test that can be repeated
            for batch, first in enumerate(range(0, 400, 8), start=1):
                told = [a_token(words[n], offset=offsets[n]) for n in range(first, first + 8)]
                await backend.store.append(run.run_id, fence=1, facts=told, batch=batch)
            await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

        told_to = [reader.result() for reader in readers]
        assert [FieldTexts.of(facts(events)).text("answer") for events in told_to] == ["".join(words)] * 20
        assert {events[-1].fact.type for events in told_to} == {"end"}
        for events in told_to:
            numbers = [event.seq for event in events]
            assert numbers == sorted(set(numbers))

    async def test_a_reader_sees_its_own_run_only(self, backend: RunBackend) -> None:
        runs = [await in_progress(backend.store) for _ in range(3)]

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(seen_by_a_reader(backend.store, run.run_id)) for run in runs]
            for count, run in enumerate(runs):
                await write(backend.store, run, [a_token("x")] * count)
                await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])

        assert [reader.result()[-1] for reader in readers] == [2, 3, 4]

    async def test_a_reader_hears_that_there_is_nothing_new(self, backend: RunBackend) -> None:
        run = await queued(backend.store)
        told: list[list[RunEvent]] = []

        async with (
            asyncio.timeout(10),
            aclosing(backend.store.watch(run.run_id, after=1, quiet_seconds=0.05)) as news,
        ):
            async for events in news:
                told.append(events)
                if len(told) == 3:
                    break

        assert told == [[], [], []]

    async def test_closing_the_store_ends_every_watch(self, backend: RunBackend) -> None:
        run = await queued(backend.store)

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(seen_by_a_reader(backend.store, run.run_id))
            async with aclosing(backend.store.watch(run.run_id, after=1, quiet_seconds=FOR_EVER)) as news:
                await anext(news)
                await backend.store.aclose()

        assert reader.result() in ([], [1])


class LogContract(TrimmingContract, WatchContract):
    pass


class TestLogInMemory(RunsInMemory, LogContract):
    pass


class TestLogOnRedis(RunsOnRedis, LogContract):
    pass
