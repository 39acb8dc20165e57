"""A serving loop takes what waits as far as it has room, heeds wishes, and ends what others lost."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.serving.run import Run, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import RunFact
from tests.support.run_samples import a_token
from tests.support.serving_turns import DONE, Ends, ScriptedProducer, a_loop, a_new_run, a_start
from tests.support.waiting import until
from workers.serving.loop import CLOSE_SECONDS, ServingLoop

SECONDS = 10.0


@asynccontextmanager
async def serving(loop: ServingLoop) -> AsyncGenerator[asyncio.Event, None]:
    """Let the loop serve around the body, which may tell it to leave."""
    leaving = asyncio.Event()
    task = asyncio.create_task(loop.serve(leaving))
    yield leaving
    leaving.set()
    await asyncio.wait_for(task, SECONDS)


async def submit(runs: MemoryRunStore, *run_ids: str, tenant: str = "local") -> None:
    for run_id in run_ids:
        new = a_new_run(run_id, tenant=tenant)
        await runs.create(new, start=a_start(new))


def have_ended(runs: MemoryRunStore, *run_ids: str):  # noqa: ANN201 - a condition
    async def look() -> bool:
        return all([(await runs.get(run_id)).status.is_terminal for run_id in run_ids])

    return look


async def test_runs_that_wait_and_runs_that_come_are_carried_out() -> None:
    runs, producer = MemoryRunStore(), ScriptedProducer()
    await submit(runs, "run_1", "run_2")

    async with serving(a_loop(runs, producer)):
        await until(have_ended(runs, "run_1", "run_2"))
        await submit(runs, "run_3")
        await until(have_ended(runs, "run_3"))

    assert sorted(producer.begun) == ["run_1", "run_2", "run_3"]
    assert (await runs.get("run_3")).status is RunStatus.COMPLETED


async def test_no_more_runs_are_taken_than_there_is_room_for() -> None:
    runs, producer = MemoryRunStore(), ScriptedProducer(is_held=True)
    for number in range(1, 4):
        await submit(runs, f"run_{number}", tenant=f"tenant_{number}")

    async def two_have_begun() -> bool:
        return len(producer.begun) == 2

    async with serving(a_loop(runs, producer, capacity=2)):
        await until(two_have_begun)
        waiting = [await runs.get(run_id) for run_id in ("run_1", "run_2", "run_3")]
        producer.released.set()
        await until(have_ended(runs, "run_1", "run_2", "run_3"))

    assert sorted(run.status for run in waiting) == ["in_progress", "in_progress", "queued"]


@pytest.mark.parametrize(("capacity", "share"), [(1, 1), (2, 1), (4, 3), (10, 8), (64, 52)])
async def test_one_tenant_gets_all_places_but_a_fifth_and_the_next_one_need_not_wait(capacity: int, share: int) -> None:
    runs, producer = MemoryRunStore(), ScriptedProducer(is_held=True)
    crowd = [f"run_{number:02}" for number in range(capacity + 1)]
    await submit(runs, *crowd, tenant="crowd")

    async def share_has_begun() -> bool:
        return len(producer.begun) >= share

    async def both_have_begun() -> bool:
        return "run_other" in producer.begun

    async with serving(a_loop(runs, producer, capacity=capacity)):
        await until(share_has_begun)
        await submit(runs, "run_other", tenant="other")
        if capacity > 1:
            await until(both_have_begun)
        begun = [run_id for run_id in producer.begun if run_id in crowd]
        producer.released.set()
        await until(have_ended(runs, "run_other", *crowd))

    assert len(begun) == share


class ContestedRuns(MemoryRunStore):
    """Another process is faster, so many times."""

    contests = 1

    async def claim(self, run_id: str, *, owner: str, lease_seconds: float) -> Run | None:
        if self.contests:
            self.contests -= 1
            await super().claim(run_id, owner="another", lease_seconds=lease_seconds)
            return None
        return await super().claim(run_id, owner=owner, lease_seconds=lease_seconds)


async def test_a_run_that_another_process_took_is_passed_over() -> None:
    runs, producer = ContestedRuns(), ScriptedProducer()
    await submit(runs, "run_1", "run_2")

    async with serving(a_loop(runs, producer)):
        await until(have_ended(runs, "run_2"))

    assert producer.begun == ["run_2"]


class ForgetfulRuns(MemoryRunStore):
    """Cannot end a run, by a bug."""

    async def finish(self, run_id: str, *, fence: int, outcome: RunOutcome, facts: Sequence[RunFact]) -> Run:
        raise RuntimeError(run_id, fence, outcome, facts)


async def test_a_session_that_dies_by_a_bug_is_told_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    runs, producer = ForgetfulRuns(), ScriptedProducer()
    await submit(runs, "run_1")

    async def both_have_begun() -> bool:
        return len(producer.begun) == 2

    async def is_told() -> bool:
        return "Run run_1 was left by a bug" in caplog.text

    async with serving(a_loop(runs, producer, capacity=1)):
        await until(is_told)
        await submit(runs, "run_2")
        await until(both_have_begun)


async def test_a_wish_is_heard_at_once() -> None:
    runs, producer = MemoryRunStore(), ScriptedProducer(is_held=True)
    await submit(runs, "run_1")

    async def has_begun() -> bool:
        return bool(producer.begun)

    async with serving(a_loop(runs, producer)):
        await until(has_begun)
        await runs.cancel("run_1", reason="asked")
        await until(have_ended(runs, "run_1"), seconds=0.5)

    assert (await runs.get("run_1")).status is RunStatus.CANCELLED


async def test_runs_of_a_lost_worker_are_ended_and_told_of() -> None:
    now = datetime.now(UTC)
    runs, ends = MemoryRunStore(clock=lambda: now), Ends()
    await submit(runs, "run_1")
    await runs.claim("run_1", owner="lost", lease_seconds=1)
    now += timedelta(minutes=1)

    async with serving(a_loop(runs, ScriptedProducer(), ends)):
        await until(have_ended(runs, "run_1"))

    run = await runs.get("run_1")
    assert run.error is not None
    assert run.error.code == "worker_lost"
    assert [(run_id, outcome.error) for run_id, outcome, _ in ends.heard] == [("run_1", run.error)]


async def test_an_end_that_could_not_be_told_is_told_again() -> None:
    now = datetime.now(UTC)
    runs, ends = MemoryRunStore(clock=lambda: now), Ends(errors=[StoreUnavailableError("job store")])
    await submit(runs, "run_1")
    await runs.claim("run_1", owner="lost", lease_seconds=1)
    now += timedelta(minutes=1)

    async def is_told() -> bool:
        return bool(ends.heard)

    async with serving(a_loop(runs, ScriptedProducer(), ends)):
        await until(is_told)

    assert [run_id for run_id, _, _ in ends.heard] == ["run_1"]


async def test_a_loop_that_leaves_takes_nothing_more_and_lets_its_runs_end() -> None:
    runs, producer = MemoryRunStore(), ScriptedProducer([a_token("Hello."), DONE], is_held=True)
    await submit(runs, "run_1")

    async def has_begun() -> bool:
        return bool(producer.begun)

    async def is_told_of_the_drain() -> bool:
        return any(event.fact.type == "status" for event in await runs.events("run_1"))

    async with serving(a_loop(runs, producer)) as leaving:
        await until(has_begun)
        leaving.set()
        await until(is_told_of_the_drain)
        await submit(runs, "run_2")
        producer.released.set()

    assert (await runs.get("run_1")).status is RunStatus.COMPLETED
    assert (await runs.get("run_2")).status is RunStatus.QUEUED


async def test_a_loop_that_leaves_gives_back_at_once_what_nobody_has_seen_anything_of() -> None:
    runs, producer = MemoryRunStore(), ScriptedProducer([DONE], is_held=True)
    await submit(runs, "run_1")

    async def has_begun() -> bool:
        return bool(producer.begun)

    async with serving(a_loop(runs, producer, drain_seconds=3600.0)) as leaving:
        await until(has_begun)
        leaving.set()

    assert (await runs.get("run_1")).status is RunStatus.QUEUED
    assert producer.closed == ["run_1"]


class SlowRuns(MemoryRunStore):
    """Hears a claim at once, and answers it late."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()
        self.answering = asyncio.Event()

    async def claim(self, run_id: str, *, owner: str, lease_seconds: float) -> Run | None:
        run = await super().claim(run_id, owner=owner, lease_seconds=lease_seconds)
        self.heard.set()
        await self.answering.wait()
        return run


async def test_a_run_whose_claim_is_answered_after_the_loop_was_told_to_leave_is_given_back() -> None:
    runs, leaving = SlowRuns(), asyncio.Event()
    await submit(runs, "run_1")
    task = asyncio.create_task(a_loop(runs, ScriptedProducer([DONE], is_held=True)).serve(leaving))
    await asyncio.wait_for(runs.heard.wait(), SECONDS)

    leaving.set()
    await asyncio.wait({task}, timeout=1.5 * CLOSE_SECONDS)
    runs.answering.set()
    await asyncio.wait_for(task, SECONDS)

    assert (await runs.get("run_1")).status is RunStatus.QUEUED


async def test_a_loop_that_leaves_heeds_wishes() -> None:
    runs, producer = MemoryRunStore(), ScriptedProducer([a_token("Hello."), DONE], is_held=True)
    await submit(runs, "run_1")

    async def is_told_of_the_drain() -> bool:
        return any(event.fact.type == "status" for event in await runs.events("run_1"))

    async def writes() -> bool:
        return any(event.fact.type == "token" for event in await runs.events("run_1"))

    async with serving(a_loop(runs, producer, drain_seconds=3600.0)) as leaving:
        await until(writes)
        leaving.set()
        await until(is_told_of_the_drain)
        await runs.cancel("run_1", reason="asked")

    assert (await runs.get("run_1")).status is RunStatus.CANCELLED
