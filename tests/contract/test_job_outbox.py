"""The outbox rings until somebody claims, ever more rarely; workers announce themselves for a while."""

from datetime import UTC, datetime, timedelta

from dspy_service.domain.workers import WorkerInfo
from tests.contract.job_backends import Backend, InMemory, OnRedis, submitted


def a_worker(worker_id: str) -> WorkerInfo:
    return WorkerInfo(
        worker_id=worker_id,
        queues=("jobs",),
        concurrency=2,
        sandbox_level="L1",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


class OutboxContract:
    async def test_rings_back_off_up_to_a_minute(self, backend: Backend) -> None:
        job = await submitted(backend.store)
        await backend.store.due(limit=10)

        for pause_seconds in (1, 2, 4, 8, 16, 32, 60, 60):
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
