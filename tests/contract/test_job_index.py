"""A tenant finds its jobs, newest first and page by page; retention finds what has ended."""

import itertools
import random
from typing import Any

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis.index import MOST_LOOKS
from dspy_service.domain.job import Job, JobStatus, NewJob, Outcome, Wish
from dspy_service.domain.job_filter import JobFilter
from dspy_service.ports import JobStore
from tests.contract.job_backends import Backend, InMemory, OnRedis, RedisBackend, running, submitted, taken
from tests.support.job_samples import OUTCOME, a_new_job, a_spec

ALL = JobFilter()
WISHES = {JobStatus.CANCELLED: Wish.CANCEL, JobStatus.PAUSED: Wish.PAUSE}
FAILED = Outcome(status=JobStatus.FAILED, termination_reason="error", message="the metric raised")


def a_job(tenant: str = "local", **spec: Any) -> NewJob:  # noqa: ANN401  # whatever a spec may hold
    return a_new_job(spec=a_spec(**spec)).model_copy(update={"tenant": tenant})


async def every_page(
    store: JobStore, wanted: JobFilter, *, limit: int = 7, tenant: str = "local", after: str | None = None
) -> list[Job]:
    """Follow the pages to the end."""
    found: list[Job] = []
    for _ in range(100):
        page = await store.page(tenant, wanted=wanted, after=after, limit=limit)
        assert len(page.jobs) <= limit
        found += page.jobs
        if not page.has_more:
            return found
        after = page.last_id
    message = "the pages never end"
    raise AssertionError(message)


async def settled(store: JobStore, new: NewJob | None = None, *, outcome: Outcome = OUTCOME) -> Job:
    claim = await running(store, new)
    job = await store.finish(claim.job.job_id, fence=claim.fence, outcome=outcome)
    await store.settle(job.job_id, fence=job.fence, archived_seq=job.last_seq)
    return await store.get(job.job_id)


async def many_jobs(store: JobStore, count: int) -> list[Job]:
    """Put jobs of all kinds into a store, and return them newest first."""
    draw = random.Random(count)  # noqa: S311  # the same jobs each time, no secret
    for _ in range(count):
        optimizer = draw.choice(("gepa", "miprov2"))
        metadata = draw.choice(({}, {"team": "a"}, {"team": "b"}, {"team": "a", "run": "1"}))
        job = await submitted(store, a_job(optimizer_name=optimizer, metadata=metadata))
        await bring_to(store, job, draw.choice(list(JobStatus)))
    return await every_page(store, ALL)


async def bring_to(store: JobStore, job: Job, status: JobStatus) -> None:
    """Lead a pending job to another state."""
    if status in WISHES:
        await store.wish(job.job_id, WISHES[status])
    elif status is not JobStatus.PENDING:
        await taken(store, job)
        if status is not JobStatus.VALIDATING:
            await store.advance(job.job_id, fence=1)
        if status.is_terminal:
            await store.finish(job.job_id, fence=1, outcome=OUTCOME if status is JobStatus.SUCCESS else FAILED)


class IndexContract:
    async def test_a_tenant_without_jobs_has_one_empty_page(self, backend: Backend) -> None:
        page = await backend.store.page("local", wanted=ALL)

        assert (page.jobs, page.has_more, page.last_id) == ((), False, None)

    async def test_pages_show_every_job_once_and_the_newest_first(self, backend: Backend) -> None:
        jobs = [await submitted(backend.store) for _ in range(23)]

        found = await every_page(backend.store, ALL)

        assert found == jobs[::-1]

    async def test_a_page_says_where_the_next_one_goes_on(self, backend: Backend) -> None:
        first, second, third = [await submitted(backend.store) for _ in range(3)]

        page = await backend.store.page("local", wanted=ALL, limit=2)
        rest = await backend.store.page("local", wanted=ALL, limit=2, after=page.last_id)

        assert (page.jobs, page.has_more, page.last_id) == ((third, second), True, second.job_id)
        assert (rest.jobs, rest.has_more, rest.last_id) == ((first,), False, first.job_id)

    async def test_a_page_that_just_holds_the_last_job_is_the_last(self, backend: Backend) -> None:
        await submitted(backend.store)
        await submitted(backend.store)

        page = await backend.store.page("local", wanted=ALL, limit=2)

        assert (len(page.jobs), page.has_more) == (2, False)

    async def test_a_page_may_go_on_after_a_job_that_is_gone_or_never_was(self, backend: Backend) -> None:
        before, gone, after = [await settled(backend.store) for _ in range(3)]
        await backend.store.delete(gone.job_id)

        older = await backend.store.page("local", wanted=ALL, after=gone.job_id)
        none = await backend.store.page("local", wanted=ALL, after="0")
        everything = await backend.store.page("local", wanted=ALL, after="zzz")

        assert older.jobs == (before,)
        assert (none.jobs, none.has_more, none.last_id) == ((), False, None)
        assert everything.jobs == (after, before)

    async def test_a_tenant_sees_only_its_own_jobs(self, backend: Backend) -> None:
        mine = await submitted(backend.store, a_job("a"))
        await submitted(backend.store, a_job("b"))

        page = await backend.store.page("a", wanted=JobFilter(status=JobStatus.PENDING))

        assert page.jobs == (mine,)

    async def test_new_jobs_do_not_move_the_pages_of_a_reader(self, backend: Backend) -> None:
        old = [await submitted(backend.store) for _ in range(4)]
        first = await backend.store.page("local", wanted=ALL, limit=2)

        await submitted(backend.store)
        second = await backend.store.page("local", wanted=ALL, limit=2, after=first.last_id)

        assert first.jobs + second.jobs == tuple(old[::-1])

    async def test_every_filter_shows_exactly_what_passes_it(self, backend: Backend) -> None:
        jobs = await many_jobs(backend.store, 60)
        filters = [
            JobFilter(status=status, optimizer=optimizer, metadata=metadata)
            for status, optimizer, metadata in itertools.product(
                (None, *JobStatus), (None, "gepa", "nobody"), ({}, {"team": "a"}, {"run": "1", "team": "a"})
            )
        ]

        found = [await every_page(backend.store, wanted) for wanted in filters]

        assert found == [[job for job in jobs if wanted.passes(job)] for wanted in filters]
        assert {job.status for job in jobs} == set(JobStatus)

    async def test_an_optimizer_is_found_by_its_own_name_however_it_was_spelt(self, backend: Backend) -> None:
        news = [a_job(optimizer_name=name) for name in ("gepa", "dspy.GEPA", "dspy.MIPROv2")]
        spelt = [new.model_copy(update={"optimizer": "gepa"}) for new in news[:2]]
        jobs = [await submitted(backend.store, new) for new in (*spelt, news[2])]

        found = await every_page(backend.store, JobFilter(optimizer="gepa"))
        for job in jobs[:2]:
            await bring_to(backend.store, job, JobStatus.SUCCESS)
            ended = await backend.store.get(job.job_id)
            await backend.store.settle(job.job_id, fence=ended.fence, archived_seq=ended.last_seq)
            await backend.store.delete(job.job_id)

        assert [job.optimizer_name for job in found] == ["dspy.GEPA", "gepa"]
        assert await every_page(backend.store, JobFilter(optimizer="gepa")) == []

    async def test_jobs_that_are_left_out_take_no_room_on_a_page(self, backend: Backend) -> None:
        wanted = JobFilter(status=JobStatus.PENDING, optimizer="gepa", metadata={"team": "a"})
        first = await submitted(backend.store, a_job(optimizer_name="gepa", metadata={"team": "a"}))
        for spec in ({"optimizer_name": "miprov2", "metadata": {"team": "a"}}, {"optimizer_name": "gepa"}):
            await submitted(backend.store, a_job(**spec))
        await running(backend.store, a_job(optimizer_name="gepa", metadata={"team": "a"}))
        second = await submitted(backend.store, a_job(optimizer_name="gepa", metadata={"team": "a"}))

        page = await backend.store.page("local", wanted=wanted, limit=2)

        assert page.jobs == (second, first)

    async def test_a_job_moves_between_the_lists_of_states(self, backend: Backend) -> None:
        claim = await running(backend.store)

        await backend.store.release(claim.job.job_id, fence=1)
        pending = await every_page(backend.store, JobFilter(status=JobStatus.PENDING))
        left = await every_page(backend.store, JobFilter(status=JobStatus.RUNNING))

        assert ([job.job_id for job in pending], left) == ([claim.job.job_id], [])

    @pytest.mark.parametrize(
        ("name", "value"), [("team", 'a "b" \\ c'), ("größe", "ß\n😀"), ("a.b-c", ""), ("%d", "^[x]$")]
    )
    async def test_any_text_can_be_found_in_the_metadata(self, backend: Backend, name: str, value: str) -> None:
        job = await submitted(backend.store, a_job(metadata={"first": "1", name: value, "last": "2"}))
        await submitted(backend.store, a_job(metadata={name: f"{value}x"}))

        found = await every_page(backend.store, JobFilter(metadata={name: value}))

        assert found == [job]

    async def test_a_pair_elsewhere_in_the_record_is_not_metadata(self, backend: Backend) -> None:
        await submitted(backend.store, a_job(optimizer_kwargs={"team": "search"}))

        assert await every_page(backend.store, JobFilter(metadata={"team": "search"})) == []

    async def test_a_deleted_job_is_in_no_list(self, backend: Backend) -> None:
        job = await settled(backend.store)

        await backend.store.delete(job.job_id)

        for wanted in (ALL, JobFilter(status=JobStatus.SUCCESS), JobFilter(optimizer="miprov2")):
            assert await every_page(backend.store, wanted) == []
        assert await backend.store.ended_before(seconds_ago=-60) == []

    async def test_retention_finds_what_is_settled_and_ended_long_ago(self, backend: Backend) -> None:
        jobs = [await settled(backend.store, a_job(tenant)) for tenant in "abc"]
        unsettled = await running(backend.store)
        await backend.store.finish(unsettled.job.job_id, fence=1, outcome=OUTCOME)
        await running(backend.store)

        old = await backend.store.ended_before(seconds_ago=-60)
        oldest = await backend.store.ended_before(seconds_ago=-60, limit=2)
        none = await backend.store.ended_before(seconds_ago=3600)

        assert (old, oldest, none) == (jobs, jobs[:2], [])

    async def test_retention_leaves_a_job_that_was_opened_again(self, backend: Backend) -> None:
        job = await settled(backend.store, outcome=FAILED)

        await backend.store.reopen(job.job_id, spec=a_spec())

        assert await backend.store.ended_before(seconds_ago=-60) == []


class TestIndexInMemory(InMemory, IndexContract):
    pass


class TestIndexOnRedis(OnRedis, IndexContract):
    async def test_one_call_looks_at_a_bounded_number_of_jobs(self, backend: RedisBackend) -> None:
        oldest = await submitted(backend.store, a_job(metadata={"team": "a"}))
        others = [await submitted(backend.store) for _ in range(MOST_LOOKS)]

        first = await backend.store.page("local", wanted=JobFilter(metadata={"team": "a"}))
        second = await backend.store.page("local", wanted=JobFilter(metadata={"team": "a"}), after=first.last_id)

        assert (first.jobs, first.has_more, first.last_id) == ((), True, others[0].job_id)
        assert (second.jobs, second.has_more) == ((oldest,), False)

    async def test_an_entry_without_a_record_is_forgotten(self, backend: RedisBackend, raw_redis: redis.Redis) -> None:
        await raw_redis.zadd("{dspy}:ended", {"gone": 1})
        job = await settled(backend.store)

        found = await backend.store.ended_before(seconds_ago=-60)

        assert found == [job]
        assert await raw_redis.zrange("{dspy}:ended", 0, -1) == [job.job_id]
