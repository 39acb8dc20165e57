"""A page of an archived log costs a page, and nothing of it is believed that was not signed."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.artifact_paths import EVENTS, EVENTS_INDEX
from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.events import Event, EventType, NewEvent
from dspy_service.domain.job import Job, JobStatus
from dspy_service.domain.views import StreamEnd
from dspy_service.usecases.archived_events import read_archived
from dspy_service.usecases.read_events import read_event_page
from dspy_service.usecases.settle_job import settle_job
from dspy_service.usecases.signed_files import write_signed
from dspy_service.usecases.watch_events import watch_events
from tests.support.claims import JOB_ID, new_job
from tests.support.signed import SECRET_KEY
from tests.support.working import fail, start

EVENTS_OF_THE_JOB = 20_000
LIMIT = 250
PAGE_BYTES = 192 * 1024
"""What a page may read: itself, the parts around it, the index and the manifest; the whole log has over 3 MB."""


class CountedArtifacts(MemoryArtifactStore):
    """Counts what is read."""

    read_bytes = 0

    async def get(self, path: str) -> bytes:
        data = await super().get(path)
        self.read_bytes += len(data)
        return data

    async def get_part(self, path: str, *, first_byte: int, byte_count: int) -> bytes:
        data = await super().get_part(path, first_byte=first_byte, byte_count=byte_count)
        self.read_bytes += len(data)
        return data

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        async for piece in super().stream(path):
            self.read_bytes += len(piece)
            yield piece


class NoNews:
    """The stream of a job of which nothing more comes."""

    async def watch(self, job_id: str, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[Event], None]:  # noqa: ARG002  # nothing depends on it
        yield []

    async def aclose(self) -> None: ...


async def archived(count: int) -> tuple[MemoryJobStore, CountedArtifacts, Job]:
    """Return an ended job with so many events in its archive."""
    jobs, artifacts = MemoryJobStore(), CountedArtifacts()
    await jobs.create(new_job())
    fence = await start(jobs, JOB_ID)
    log = NewEvent(type=EventType.LOG, data={"level": "INFO", "logger": "metric", "message": "a line of the log"})
    await jobs.append(JOB_ID, fence=fence, events=[log] * (count - 7))
    await fail(jobs, JOB_ID, fence)
    await settle_job(JOB_ID, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
    artifacts.read_bytes = 0
    return jobs, artifacts, await jobs.get(JOB_ID)


async def read(job: Job, artifacts: MemoryArtifactStore, *, after: int, limit: int | None) -> list[int]:
    events = await read_archived(job, after=after, limit=limit, artifacts=artifacts, secret_key=SECRET_KEY)
    return [event.seq for event in events]


async def test_each_page_of_a_long_log_reads_about_a_page() -> None:
    jobs, artifacts, job = await archived(EVENTS_OF_THE_JOB)
    costs: list[int] = []
    numbers: list[int] = []
    more = True

    while more:
        before = artifacts.read_bytes
        page = await read_event_page(
            JOB_ID,
            tenant="local",
            jobs=jobs,
            artifacts=artifacts,
            secret_key=SECRET_KEY,
            after=numbers[-1] if numbers else 0,
            limit=LIMIT,
        )
        numbers += [event.seq for event in page.data]
        costs.append(artifacts.read_bytes - before)
        more = page.has_more

    assert numbers == list(range(1, EVENTS_OF_THE_JOB + 1))
    assert job.archived_seq == EVENTS_OF_THE_JOB
    assert len(costs) == EVENTS_OF_THE_JOB // LIMIT
    assert max(costs) <= PAGE_BYTES


async def test_a_reader_of_a_long_story_reads_about_a_page_at_a_time() -> None:
    jobs, artifacts, job = await archived(EVENTS_OF_THE_JOB)
    story = watch_events(
        job, after=0, quiet_seconds=1, jobs=jobs, stream=NoNews(), artifacts=artifacts, secret_key=SECRET_KEY
    )
    count, cost = 0, 0

    async with aclosing(story):
        async for told in story:
            if isinstance(told, list):
                count += len(told)
                cost, artifacts.read_bytes = max(cost, artifacts.read_bytes), 0
            else:
                assert told == StreamEnd(status=JobStatus.FAILED, termination_reason="error", last_id=EVENTS_OF_THE_JOB)

    assert count == EVENTS_OF_THE_JOB
    assert cost <= PAGE_BYTES


@pytest.mark.parametrize(("after", "limit"), [(0, 1), (0, 250), (399, 2), (498, 250), (500, 1), (9_999, 250)])
async def test_a_page_is_what_the_whole_log_has_there(after: int, limit: int) -> None:
    _, artifacts, job = await archived(500)

    page = await read(job, artifacts, after=after, limit=limit)

    assert page == (await read(job, artifacts, after=after, limit=None))[:limit]
    assert page == [seq for seq in range(1, 501) if seq > after][:limit]


async def test_a_log_without_an_index_is_read_as_a_whole() -> None:
    _, artifacts, job = await archived(500)
    folder = f"{JOB_ID}/{job.archive_fence}"
    await write_signed(
        folder,
        {EVENTS: artifacts.files[f"{folder}/{EVENTS}"]},
        job=job,
        artifacts=artifacts,
        secret_key=SECRET_KEY,
    )

    assert await read(job, artifacts, after=100, limit=3) == [101, 102, 103]


@pytest.mark.parametrize("name", [EVENTS, EVENTS_INDEX])
@pytest.mark.parametrize("damage", ["flipped", "shorter", "empty", "missing"])
async def test_a_page_of_a_changed_archive_is_refused(name: str, damage: str) -> None:
    _, artifacts, job = await archived(500)
    path = f"{JOB_ID}/{job.archive_fence}/{name}"
    data = artifacts.files.pop(path)
    changed = {"flipped": data[:-2] + b"?" + data[-1:], "shorter": data[:-1], "empty": b""}
    if damage in changed:
        artifacts.files[path] = changed[damage]

    with pytest.raises(ArtifactCorruptError, match=name.replace(".", r"\.")):
        await read(job, artifacts, after=490, limit=250)


async def test_what_was_changed_elsewhere_in_the_log_is_not_read() -> None:
    _, artifacts, job = await archived(2_000)
    path = f"{JOB_ID}/{job.archive_fence}/{EVENTS}"
    artifacts.files[path] = b"?" + artifacts.files[path][1:]

    assert await read(job, artifacts, after=1_900, limit=2) == [1_901, 1_902]
    with pytest.raises(ArtifactCorruptError):
        await read(job, artifacts, after=0, limit=2)


async def test_an_archive_that_was_removed_has_no_page() -> None:
    _, artifacts, job = await archived(10)
    artifacts.files.clear()

    with pytest.raises(FileNotStoredError):
        await read(job, artifacts, after=0, limit=2)
