"""A store whose clock was set back makes nobody wait for the time that it lost."""

from dspy_service.domain.webhook import Webhook
from tests.contract.job_backends import Backend, InMemory, OnRedis, running, submitted, taken
from tests.support.job_samples import OUTCOME, a_new_job, a_spec

AN_HOUR = 3600
WITH_A_WEBHOOK = a_new_job(spec=a_spec(webhook=Webhook(url="https://hooks.example/end")))


class ClockSetBackContract:
    async def test_a_job_that_its_worker_gives_back_is_rung_at_once(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.put_clock_back(job_id)

        await backend.store.release(job_id, fence=1)

        assert await backend.store.due(limit=10) == [job_id]

    async def test_a_job_that_waits_is_rung_again(self, backend: Backend) -> None:
        job = await submitted(backend.store)
        await backend.store.due(limit=10)

        await backend.let_rings_come_nearer(-AN_HOUR)

        assert await backend.store.due(limit=10) == [job.job_id]
        assert await backend.store.due(limit=10) == []

    async def test_the_job_of_a_dead_worker_is_lost_after_one_lease(self, backend: Backend) -> None:
        job_id = (await taken(backend.store, await submitted(backend.store))).job.job_id
        await backend.let_time_pass(-AN_HOUR)

        seen = await backend.store.reap(lease_seconds=0, max_losses=3)
        await backend.let_time_pass(14)
        early = await backend.store.reap(lease_seconds=0, max_losses=3)
        await backend.let_time_pass(2)
        late = await backend.store.reap(lease_seconds=0, max_losses=3)

        assert (seen, early, [job.job_id for job in late]) == ([], [], [job_id])

    async def test_an_end_is_told_and_settled_at_once(self, backend: Backend) -> None:
        job_id = (await running(backend.store, WITH_A_WEBHOOK)).job.job_id
        await backend.put_clock_back(job_id)

        await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        assert await backend.store.unsettled(older_than_seconds=0) == [job_id]
        assert [due.job_id for due in await backend.store.due_deliveries(lease_seconds=60)] == [job_id]


class TestClockSetBackInMemory(InMemory, ClockSetBackContract):
    pass


class TestClockSetBackOnRedis(OnRedis, ClockSetBackContract):
    pass
