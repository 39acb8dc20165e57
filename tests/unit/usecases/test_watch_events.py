"""A story is told whole, once and in order, whatever moves, fails or comes back while it is told."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import JobNotFoundError, StoreUnavailableError
from dspy_service.domain.events import Event
from dspy_service.domain.job import Job, JobStatus
from dspy_service.domain.views import EventGap, StreamEnd
from dspy_service.usecases.delete_job import delete_job
from dspy_service.usecases.settle_job import settle_job
from dspy_service.usecases.watch_events import Told, watch_events
from tests.support import working
from tests.support.claims import JOB_ID, new_job
from tests.support.signed import SECRET_KEY

Step = Callable[[], Awaitable[Any]]


class ScriptedStream:
    """Tells the events in these ranges of numbers, after whatever stands between them has been done."""

    def __init__(self, jobs: MemoryJobStore, *steps: range | Step) -> None:
        self._jobs = jobs
        self._steps = steps

    async def watch(self, job_id: str, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[Event], None]:  # noqa: ARG002  # the script says it all
        known = {event.seq: event for event in await self._jobs.events(job_id)}
        for step in self._steps:
            if isinstance(step, range):
                known |= {event.seq: event for event in await self._jobs.events(job_id)}
                yield [known[seq] for seq in step]
            else:
                await step()

    async def aclose(self) -> None: ...


class FlakyJobs(MemoryJobStore):
    """A store that is away as often as it is told."""

    away = 0

    async def get(self, job_id: str) -> Job:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("job store")
        return await super().get(job_id)


@pytest.fixture
def jobs() -> FlakyJobs:
    return FlakyJobs()


@pytest.fixture
def artifacts() -> MemoryArtifactStore:
    return MemoryArtifactStore()


@pytest.fixture
async def fence(jobs: FlakyJobs) -> int:
    """A job that runs; six events are there."""
    await jobs.create(new_job())
    return await working.start(jobs, JOB_ID)


async def told(
    jobs: FlakyJobs, artifacts: MemoryArtifactStore, *steps: range | Step, after: int = 0
) -> list[Told | list[int]]:
    """Return what a reader hears: numbers instead of events."""
    story = watch_events(
        await jobs.get(JOB_ID),
        after=after,
        quiet_seconds=1,
        jobs=jobs,
        stream=ScriptedStream(jobs, *steps),
        artifacts=artifacts,
        secret_key=SECRET_KEY,
    )
    async with aclosing(story):
        return [[event.seq for event in each] if isinstance(each, list) else each async for each in story]


def ended(status: JobStatus, reason: Any, last_id: int) -> StreamEnd:  # noqa: ANN401  # a word of a Literal type
    return StreamEnd(status=status, termination_reason=reason, last_id=last_id)


async def test_a_running_job_is_told_as_it_comes(jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int) -> None:
    heard = await told(jobs, artifacts, range(1, 5), range(0), range(5, 7))

    assert heard == [[1, 2, 3, 4], None, [5, 6]]


async def test_the_last_event_brings_the_end_with_it(
    jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int
) -> None:
    heard = await told(jobs, artifacts, range(1, 7), lambda: working.fail(jobs, JOB_ID, fence), range(7, 8), range(0))

    assert heard == [[1, 2, 3, 4, 5, 6], [7], ended(JobStatus.FAILED, "error", 7)]


async def test_what_comes_twice_is_told_once(jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int) -> None:
    heard = await told(jobs, artifacts, range(1, 4), range(2, 6), range(5, 7), after=1)

    assert heard == [[2, 3], [4, 5], [6]]


async def test_a_reader_of_numbers_that_the_store_has_lost_is_told_what_comes_now(
    jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int
) -> None:
    end = range(7, 8)

    heard = await told(jobs, artifacts, range(0), lambda: working.fail(jobs, JOB_ID, fence), end, after=1000)

    assert heard == [None, [7], ended(JobStatus.FAILED, "error", 7)]


async def test_a_log_that_moves_meanwhile_is_told_from_the_archive(
    jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int
) -> None:
    async def settle() -> None:
        await working.fail(jobs, JOB_ID, fence)
        await settle_job(JOB_ID, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)

    heard = await told(jobs, artifacts, range(1, 3), settle, range(0))

    assert heard == [[1, 2], [3, 4, 5, 6, 7], ended(JobStatus.FAILED, "error", 7)]


async def test_what_was_archived_before_a_retry_fills_the_hole(
    jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int
) -> None:
    spec = new_job().spec

    async def settle_and_retry() -> None:
        await working.fail(jobs, JOB_ID, fence)
        await settle_job(JOB_ID, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
        await jobs.reopen(JOB_ID, spec=spec)

    heard = await told(jobs, artifacts, range(1, 3), settle_and_retry, range(8, 9), range(0))

    assert heard == [[1, 2], [3, 4, 5, 6, 7], [8], None]


async def test_an_end_that_a_retry_has_taken_back_ends_nothing(
    jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int
) -> None:
    await working.fail(jobs, JOB_ID, fence)
    await settle_job(JOB_ID, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
    await jobs.reopen(JOB_ID, spec=new_job().spec)

    heard = await told(jobs, artifacts, range(8, 9))

    assert heard == [[1, 2, 3, 4, 5, 6, 7], [8]]


async def test_numbers_that_are_nowhere_are_a_gap(jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int) -> None:
    async def lose() -> None:
        del jobs._records[JOB_ID].events[2:4]

    heard = await told(jobs, artifacts, range(1, 3), lose, range(5, 7))

    assert heard == [[1, 2], EventGap(first=3, last=4), [5, 6]]


async def test_a_store_that_is_away_is_waited_for(jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int) -> None:
    async def go_away() -> None:
        await working.fail(jobs, JOB_ID, fence)
        jobs.away = 1

    heard = await told(jobs, artifacts, range(1, 7), go_away, range(7, 8), range(0))

    assert heard == [[1, 2, 3, 4, 5, 6], [7], None, ended(JobStatus.FAILED, "error", 7)]


async def test_a_job_that_is_deleted_meanwhile_is_said_to_be_unknown(
    jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int
) -> None:
    async def delete() -> None:
        await working.fail(jobs, JOB_ID, fence)
        await settle_job(JOB_ID, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
        await delete_job(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts)

    with pytest.raises(JobNotFoundError):
        await told(jobs, artifacts, range(1, 3), delete, range(0))


async def test_a_long_archive_is_told_in_pages(jobs: FlakyJobs, artifacts: MemoryArtifactStore, fence: int) -> None:
    await jobs.append(JOB_ID, fence=fence, events=working.EVENTS_OF_A_RUN * 200)
    await working.fail(jobs, JOB_ID, fence)
    await settle_job(JOB_ID, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)

    heard = await told(jobs, artifacts, range(0))

    pages: Sequence[Any] = heard[:-1]
    assert [len(page) for page in pages] == [250, 250, 107]
    assert [seq for page in pages for seq in page] == list(range(1, 608))
