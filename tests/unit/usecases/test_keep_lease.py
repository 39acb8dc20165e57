"""A lease is renewed, and its attempt is held before the lease can end and given up only long after."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.job import Wish
from dspy_service.domain.supervision import Halt, Reins
from dspy_service.usecases.keep_lease import LeaseKeeper
from tests.support.claims import JOB_ID, claimed, take_over

LEASE_SECONDS = 0.6
HEARTBEAT_SECONDS = 0.02


class Interruptible(MemoryJobStore):
    """Answers heartbeats while it is told to."""

    is_away = False
    renewals = 0

    async def renew(self, job_id: str, **fields: Any) -> Wish:  # noqa: ANN401  # handed on
        if self.is_away:
            raise StoreUnavailableError("job store")
        self.renewals += 1
        return await super().renew(job_id, **fields)


async def kept(jobs: MemoryJobStore) -> tuple[LeaseKeeper, Reins]:
    _, claim = await claimed(jobs=jobs)
    reins = Reins()
    keeper = LeaseKeeper(
        claim,
        jobs,
        reins,
        lease_seconds=LEASE_SECONDS,
        heartbeat_seconds=HEARTBEAT_SECONDS,
        certain_until=asyncio.get_running_loop().time() + LEASE_SECONDS,
    )
    return keeper, reins


@asynccontextmanager
async def running(keeper: LeaseKeeper) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(keeper.run())
    try:
        async with asyncio.timeout(10):
            yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_silent_store_holds_the_attempt_before_the_lease_can_end() -> None:
    jobs = Interruptible()
    keeper, reins = await kept(jobs)
    jobs.is_away = True

    async with running(keeper):
        await reins.held()

        assert asyncio.get_running_loop().time() < keeper.certain_until


async def test_an_answer_lets_the_attempt_go_on() -> None:
    jobs = Interruptible()
    keeper, reins = await kept(jobs)
    jobs.is_away = True

    async with running(keeper) as task:
        await reins.held()
        jobs.is_away = False
        await reins.free()

        assert not task.done()
        assert not reins.is_held


async def test_the_silence_of_a_further_lease_gives_the_attempt_up() -> None:
    jobs = Interruptible()
    keeper, reins = await kept(jobs)
    jobs.is_away = True

    async with running(keeper) as task:
        await reins.held()
        held_at = asyncio.get_running_loop().time()
        with pytest.raises(ExceptionGroup) as raised:
            await task

        assert raised.group_contains(StoreUnavailableError)
        assert asyncio.get_running_loop().time() - held_at >= LEASE_SECONDS - HEARTBEAT_SECONDS


async def test_an_attempt_that_has_ended_is_never_given_up() -> None:
    jobs = Interruptible()
    keeper, reins = await kept(jobs)
    jobs.is_away = True
    keeper.certain_until -= 10 * LEASE_SECONDS
    keeper.attempt_ended()

    async with running(keeper) as task:
        await reins.held()
        done, _ = await asyncio.wait({task}, timeout=1.5 * LEASE_SECONDS)

        assert not done


async def test_another_holder_ends_the_keeper_at_once() -> None:
    jobs = Interruptible()
    keeper, _ = await kept(jobs)

    async with running(keeper) as task:
        await take_over(jobs)
        with pytest.raises(ExceptionGroup) as raised:
            await task

        assert raised.group_contains(LeaseLostError)


@pytest.mark.parametrize(("wish", "halt"), [(Wish.CANCEL, Halt.CANCEL), (Wish.PAUSE, Halt.PAUSE)])
async def test_a_wish_on_the_record_halts_the_attempt(wish: Wish, halt: Halt) -> None:
    jobs = Interruptible()
    keeper, reins = await kept(jobs)
    await jobs.wish(JOB_ID, wish)

    async with running(keeper):
        assert await reins.halted() is halt


async def test_an_answer_after_a_standstill_of_the_worker_lets_nothing_go_on() -> None:
    held: list[bool] = []

    class Stalled(MemoryJobStore):
        """The whole process stands still while the first heartbeat is under way."""

        async def renew(self, job_id: str, **fields: Any) -> Wish:  # noqa: ANN401  # handed on
            if not held:
                time.sleep(LEASE_SECONDS)  # noqa: ASYNC251  # nothing else may run meanwhile
            held.append(reins.is_held)
            return await super().renew(job_id, **fields)

    keeper, reins = await kept(Stalled())
    reins.hold()

    async with running(keeper):
        await reins.free()

    assert held[:2] == [True, True]
