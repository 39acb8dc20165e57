"""A tenant has so many unfinished jobs and not one more, however many submits race."""

import asyncio

import pytest

from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import JobNotFoundError
from dspy_service.domain.job import Job, JobStatus, NewJob, Wish
from tests.contract.job_backends import Backend, InMemory, OnRedis, OnRedisWithLostReplies, running
from tests.support.job_samples import FAILED, OUTCOME, a_new_job


def limited(most: int, *, tenant: str = "acme", key: str | None = None) -> NewJob:
    return a_new_job(key=key).model_copy(update={"tenant": tenant, "max_live_jobs": most})


class QuotaContract:
    async def test_one_more_than_the_quota_is_refused_and_writes_nothing(self, backend: Backend) -> None:
        accepted = [(await backend.store.create(limited(2)))[0].job_id for _ in range(2)]
        refused = limited(2)

        with pytest.raises(QuotaExceededError, match="2 of your jobs have not ended"):
            await backend.store.create(refused)

        with pytest.raises(JobNotFoundError):
            await backend.store.get(refused.job_id)
        assert sorted(await backend.store.due(limit=10)) == sorted(accepted)

    async def test_fifty_racing_submits_do_not_pass_it(self, backend: Backend) -> None:
        answers = await asyncio.gather(*(backend.store.create(limited(5)) for _ in range(50)), return_exceptions=True)

        accepted = [each for each in answers if isinstance(each, tuple)]
        assert len(accepted) == 5
        assert all(isinstance(each, QuotaExceededError) for each in answers if not isinstance(each, tuple))

    async def test_a_job_that_ended_makes_room(self, backend: Backend) -> None:
        claim = await running(backend.store, limited(1))
        await backend.store.finish(claim.job.job_id, fence=claim.fence, outcome=OUTCOME)

        job, created = await backend.store.create(limited(1))

        assert created
        assert isinstance(job, Job)
        with pytest.raises(QuotaExceededError):
            await backend.store.create(limited(1))

    async def test_a_retry_needs_room_as_a_submit_does(self, backend: Backend) -> None:
        claim = await running(backend.store, limited(1))
        failed = await backend.store.finish(claim.job.job_id, fence=claim.fence, outcome=FAILED)
        await backend.store.settle(failed.job_id, fence=failed.fence, archived_seq=failed.last_seq)
        settled = await backend.store.get(failed.job_id)
        other, _ = await backend.store.create(limited(1))

        with pytest.raises(QuotaExceededError, match="1 of your jobs have not ended"):
            await backend.store.reopen(failed.job_id, spec=claim.spec, max_live_jobs=1)

        assert await backend.store.get(failed.job_id) == settled
        await backend.store.wish(other.job_id, Wish.CANCEL)
        again = [await backend.store.reopen(failed.job_id, spec=claim.spec, max_live_jobs=1) for _ in range(2)]
        assert [job.status for job in again] == [JobStatus.PENDING] * 2

    async def test_tenants_have_quotas_of_their_own(self, backend: Backend) -> None:
        await backend.store.create(limited(1))

        _, created = await backend.store.create(limited(1, tenant="other"))

        assert created

    async def test_a_replay_is_answered_when_the_quota_is_used_up(self, backend: Backend) -> None:
        first, _ = await backend.store.create(limited(1, key="k"))

        second, created = await backend.store.create(limited(1, key="k"))

        assert (second, created) == (first, False)

    async def test_a_submit_that_is_sent_twice_counts_once(self, backend: Backend) -> None:
        new = limited(1)
        first = await backend.store.create(new)

        assert await backend.store.create(new) == first

    async def test_the_same_idempotency_key_of_two_tenants_makes_two_jobs(self, backend: Backend) -> None:
        mine, _ = await backend.store.create(limited(0, key="k"))
        theirs, created = await backend.store.create(limited(0, tenant="other", key="k"))

        assert created
        assert mine.job_id != theirs.job_id


class TestQuotaInMemory(InMemory, QuotaContract):
    pass


class TestQuotaOnRedis(OnRedis, QuotaContract):
    pass


class TestQuotaWithLostReplies(OnRedisWithLostReplies, QuotaContract):
    pass
