"""The outbox rings until somebody claims, ever more rarely; workers announce themselves for a while."""

from datetime import UTC, datetime, timedelta

from dspy_service.domain.job import Wish
from dspy_service.domain.workers import WorkerInfo
from tests.contract.job_backends import Backend, InMemory, OnRedis, running, submitted
from tests.support.job_samples import OUTCOME, a_new_job


def a_worker(worker_id: str) -> WorkerInfo:
    return WorkerInfo(
        worker_id=worker_id,
        queues=("jobs",),
        concurrency=2,
        sandbox_level="L1",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


class OutboxContract:
    async def test_rings_back_off_up_to_ten_seconds(self, backend: Backend) -> None:
        job = await submitted(backend.store)
        await backend.store.due(limit=10)

        for pause_seconds in (1, 2, 4, 8, 10, 10, 10):
            await backend.let_rings_come_nearer(pause_seconds - 0.9)
            early = await backend.store.due(limit=10)
            await backend.let_rings_come_nearer(0.9)
            late = await backend.store.due(limit=10)

            assert (early, late) == ([], [job.job_id])

    async def test_the_oldest_rings_come_first_and_a_limit_holds(self, backend: Backend) -> None:
        jobs = [await submitted(backend.store) for _ in range(5)]
        await backend.let_rings_come_nearer(1)

        first = await backend.store.due(limit=3)
        second = await backend.store.due(limit=3)

        assert first + second == [job.job_id for job in jobs]

    async def test_a_claimed_job_is_rung_no_more(self, backend: Backend) -> None:
        job = await submitted(backend.store)
        await backend.store.claim(job.job_id, owner="w1", lease_seconds=15, sandbox_level="L1")

        await backend.let_rings_come_nearer(100)

        assert await backend.store.due(limit=10) == []

    async def test_a_job_that_waits_again_is_rung_at_once_and_backs_off_anew(self, backend: Backend) -> None:
        claim = await running(backend.store)
        await backend.let_rings_come_nearer(100)
        await backend.store.release(claim.job.job_id, fence=1)

        rings = []
        for pause_seconds in (0, 1, 2):
            await backend.let_rings_come_nearer(pause_seconds)
            rings.append(await backend.store.due(limit=10))

        assert rings == [[claim.job.job_id]] * 3

    async def test_a_job_that_ends_makes_room_for_one_of_its_tenant_which_is_rung_at_once(
        self, backend: Backend
    ) -> None:
        claim = await running(backend.store)
        waiting = await submitted(backend.store)
        other = await submitted(backend.store, a_new_job().model_copy(update={"tenant": "other"}))
        first = await backend.store.due(limit=10)
        quiet = await backend.store.due(limit=10)

        await backend.store.finish(claim.job.job_id, fence=1, outcome=OUTCOME)

        assert (set(first), quiet) == ({waiting.job_id, other.job_id}, [])
        assert await backend.store.due(limit=10) == [waiting.job_id]

    async def test_a_job_that_stops_waiting_is_rung_no_more(self, backend: Backend) -> None:
        paused, cancelled = [await submitted(backend.store) for _ in range(2)]

        await backend.store.wish(paused.job_id, Wish.PAUSE)
        await backend.store.wish(cancelled.job_id, Wish.CANCEL)
        await backend.let_rings_come_nearer(100)

        assert await backend.store.due(limit=10) == []

    async def test_whoever_waits_hears_of_a_job_that_waits_again_and_of_a_free_slot(self, backend: Backend) -> None:
        claims = [await running(backend.store) for _ in range(2)]
        await submitted(backend.store)
        while await backend.store.wait_for_submit(0):
            pass

        await backend.store.release(claims[0].job.job_id, fence=1)
        released = await backend.store.wait_for_submit(5)
        quiet = await backend.store.wait_for_submit(0)
        await backend.store.finish(claims[1].job.job_id, fence=1, outcome=OUTCOME)
        freed = await backend.store.wait_for_submit(5)

        assert (released, quiet, freed) == (True, False, True)

    async def test_a_worker_lives_until_it_retires_or_falls_silent(self, backend: Backend) -> None:
        for worker_id in ("b", "a", "c"):
            await backend.store.announce_worker(a_worker(worker_id), ttl_seconds=60)
        await backend.store.announce_worker(a_worker("silent"), ttl_seconds=0)

        await backend.store.retire_worker("b")

        assert await backend.store.live_workers() == [a_worker("a"), a_worker("c")]

    async def test_the_clock_is_utc(self, backend: Backend) -> None:
        now = await backend.store.now()

        assert now.utcoffset() == timedelta(0)
        assert now >= datetime(2026, 1, 1, tzinfo=UTC)


class TestOutboxInMemory(InMemory, OutboxContract):
    pass


class TestOutboxOnRedis(OnRedis, OutboxContract):
    pass
