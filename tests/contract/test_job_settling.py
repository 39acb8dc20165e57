"""An ended job waits until it stands in the artifact store; then little of it stays, and at last nothing."""

import pytest

from dspy_service.domain.errors import (
    JobNotFinishedError,
    JobNotFoundError,
)
from dspy_service.domain.job import JobStatus, Wish
from dspy_service.domain.job_filter import JobFilter
from tests.contract.job_backends import (
    Backend,
    InMemory,
    OnRedis,
    OnRedisWithLostReplies,
    claimed,
    running,
    settled,
    submitted,
)
from tests.support.job_samples import FAILED, OUTCOME, a_best, a_log, a_new_job, a_spec


class SettlingContract:
    async def test_an_ended_job_is_unsettled_until_it_is_settled(self, backend: Backend) -> None:
        claim = await running(backend.store)
        cancelled = await submitted(backend.store)
        await submitted(backend.store)
        await backend.store.finish(claim.job.job_id, fence=1, outcome=OUTCOME)
        await backend.let_time_pass(10)
        await backend.store.wish(cancelled.job_id, Wish.CANCEL)

        everything = await backend.store.unsettled(older_than_seconds=0)
        older = await backend.store.unsettled(older_than_seconds=5)
        oldest = await backend.store.unsettled(older_than_seconds=0, limit=1)
        await backend.store.settle(claim.job.job_id, fence=1, archived_seq=4)

        assert everything == [claim.job.job_id, cancelled.job_id]
        assert older == oldest == [claim.job.job_id]
        assert await backend.store.unsettled(older_than_seconds=0) == [cancelled.job_id]

    async def test_settling_changes_only_what_is_said_of_the_archive(self, backend: Backend) -> None:
        spec = a_spec(
            budget={"max_usd": 2.5}, webhook={"url": "https://example.org/x"}, priority=7, metadata={"a": "é"}
        )
        claim = await running(backend.store, a_new_job(spec=spec))
        job_id = claim.job.job_id
        await backend.store.append(job_id, fence=1, events=[a_log("x")], latest_metrics={"best": 0.5, "a": ["/", None]})
        await backend.store.keep_best(job_id, fence=1, best=a_best(job_id))
        ended = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        await backend.store.settle(job_id, fence=1, archived_seq=5)

        job = await backend.store.get(job_id)
        assert job == ended.evolve(archived_seq=5, archive_fence=1)
        assert (job.budget, job.webhook, job.priority) == (spec.budget, spec.webhook, 7)
        assert (await backend.store.page("local", wanted=JobFilter(metadata={"a": "é"}))).jobs == (job,)

    async def test_spec_and_events_leave_when_the_job_is_settled(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job_id = claim.job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=["an answer"])
        ended = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)
        before = (await backend.store.spec(job_id), len(await backend.store.events(job_id)))

        await backend.store.settle(job_id, fence=1, archived_seq=ended.last_seq)

        assert before == (claim.spec, 4)
        assert await backend.store.spec(job_id) is None
        assert await backend.store.events(job_id) == []
        assert await backend.store.answers(job_id) == (0, [])

    async def test_the_newest_answers_of_a_failed_job_stay_for_a_retry(self, backend: Backend) -> None:
        claim = await running(backend.store)
        await backend.store.add_answers(claim.job.job_id, fence=1, answers=["a", "b"])
        await backend.store.drop_answers(claim.job.job_id, fence=1, before=1)

        await settled(backend.store, claim, FAILED)

        assert await backend.store.answers(claim.job.job_id) == (2, ["b"])

    @pytest.mark.parametrize(("fence", "archived_seq"), [(2, 4), (0, 4), (1, 3), (1, 5)])
    async def test_numbers_that_do_not_fit_settle_nothing(
        self, backend: Backend, fence: int, archived_seq: int
    ) -> None:
        job_id = (await running(backend.store)).job.job_id
        ended = await backend.store.finish(job_id, fence=1, outcome=OUTCOME)

        await backend.store.settle(job_id, fence=fence, archived_seq=archived_seq)

        assert await backend.store.get(job_id) == ended
        assert len(await backend.store.events(job_id)) == 4
        assert await backend.store.unsettled(older_than_seconds=0) == [job_id]

    async def test_a_live_or_a_missing_job_is_not_settled(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        await backend.store.settle(job_id, fence=1, archived_seq=3)
        await backend.store.settle("nobody", fence=1, archived_seq=3)

        assert (await backend.store.get(job_id)).archived_seq == 0
        assert len(await backend.store.events(job_id)) == 3

    async def test_settling_again_changes_nothing(self, backend: Backend) -> None:
        job = await settled(backend.store, await running(backend.store))

        await backend.store.settle(job.job_id, fence=1, archived_seq=job.last_seq)

        assert await backend.store.get(job.job_id) == job

    async def test_finishing_again_after_the_settlement_answers_as_the_first_time(self, backend: Backend) -> None:
        claim = await running(backend.store)
        job = await settled(backend.store, claim)

        assert await backend.store.finish(job.job_id, fence=claim.fence, outcome=OUTCOME) == job


class DeletionContract:
    async def test_an_ended_job_is_deleted_from_everywhere(self, backend: Backend) -> None:
        gone = await settled(backend.store, await running(backend.store))
        stays = await settled(backend.store, await running(backend.store))

        deleted = [await backend.store.delete(gone.job_id) for _ in range(2)]

        assert deleted == [True, False]
        with pytest.raises(JobNotFoundError):
            await backend.store.get(gone.job_id)
        for wanted in (JobFilter(), JobFilter(status=JobStatus.SUCCESS), JobFilter(optimizer="miprov2")):
            assert (await backend.store.page("local", wanted=wanted)).jobs == (stays,)
        assert await backend.store.ended_before(seconds_ago=-1) == [stays]

    async def test_an_ended_job_need_not_be_settled_to_be_deleted(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.finish(job_id, fence=1, outcome=FAILED)

        assert await backend.store.delete(job_id)
        assert await backend.store.unsettled(older_than_seconds=0) == []
        assert await backend.store.events(job_id) == []
        assert await backend.store.spec(job_id) is None

    async def test_a_live_job_cannot_be_deleted(self, backend: Backend) -> None:
        pending = (await submitted(backend.store)).job_id
        held = (await claimed(backend.store)).job.job_id
        paused = (await submitted(backend.store)).job_id
        await backend.store.wish(paused, Wish.PAUSE)

        for job_id in (pending, held, paused):
            before = await backend.store.get(job_id)
            with pytest.raises(JobNotFinishedError):
                await backend.store.delete(job_id)
            assert await backend.store.get(job_id) == before

    async def test_the_key_of_a_deleted_job_makes_a_new_one(self, backend: Backend) -> None:
        first = await running(backend.store, a_new_job(key="k"))
        await settled(backend.store, first)
        await backend.store.delete(first.job.job_id)

        second, created = await backend.store.create(a_new_job(key="k", body="bb"))

        assert created
        assert second.job_id != first.job.job_id


class TestSettlingInMemory(InMemory, SettlingContract, DeletionContract):
    pass


class TestSettlingOnRedis(OnRedis, SettlingContract, DeletionContract):
    pass


class TestSettlingWithLostReplies(OnRedisWithLostReplies, SettlingContract, DeletionContract):
    pass
