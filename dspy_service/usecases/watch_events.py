"""Tells a job's story as it happens: what there was, what comes, and how it ends."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.events import Event, leading_run, tells_an_end
from dspy_service.domain.job import Job
from dspy_service.domain.views import EventGap, StreamEnd
from dspy_service.ports import ArtifactStore, EventStream, JobStore
from dspy_service.usecases.read_events import read_events

_PAGE = 250

Told = list[Event] | EventGap | StreamEnd | None
"""Events in order; numbers that are not there any more; the end of a job that has ended; None: nothing new."""


async def watch_events(
    job: Job,
    *,
    after: int,
    quiet_seconds: float,
    jobs: JobStore,
    stream: EventStream,
    artifacts: ArtifactStore,
    secret_key: bytes,
) -> AsyncGenerator[Told, None]:
    """Tell every event with ``seq > after`` once and in order, then go on as they are written, until the job has ended.

    What the stream leaves out has moved to the artifact store, or is gone. When there is nothing new, the record is
    read again: the job has ended when it says so and everything up to its last event was told. One that was retried
    meanwhile goes on.

    Args:
        job: The record, as it was when the reader came.
        after: The last number that the reader has seen. One beyond the job's newest is taken for that: the store has
            lost what the reader saw, and what comes now must not be kept from it.
        quiet_seconds: After so long without news, None is told.
        jobs: The records.
        stream: What is written from now on.
        artifacts: The logs of jobs that have ended.
        secret_key: Proves them.

    Raises:
        JobNotFoundError: the job was deleted meanwhile.
        SlowReaderError: the reader has fallen behind; it may come back with the last number.
        StoreUnavailableError: the store was away for too long; likewise.
        ArtifactCorruptError: the archived log is not what was signed.
    """
    story = _Story(job, min(after, job.last_seq), jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    async for told in story.up_to(job.archived_seq):
        yield told
    async with aclosing(stream.watch(job.job_id, after=story.seq, quiet_seconds=quiet_seconds)) as news:
        async for events in news:
            if story.is_followed_by(events):
                story.seq = events[-1].seq
                yield events
            else:
                async for told in story.go_on(events):
                    yield told
            if not events or tells_an_end(events[-1]):
                async for told in story.look_again():
                    yield told
                    if isinstance(told, StreamEnd):
                        return


class _Story:
    """How far one reader has come, and what it is told next."""

    def __init__(self, job: Job, seq: int, *, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> None:
        self.seq = seq
        self._just_read: Job | None = job
        self._job_id = job.job_id
        self._jobs = jobs
        self._artifacts = artifacts
        self._secret_key = secret_key

    def is_followed_by(self, events: list[Event]) -> bool:
        """Whether all of these are new and none is missing; nearly always."""
        return bool(events) and events[0].seq == self.seq + 1 and events[-1].seq == self.seq + len(events)

    async def go_on(self, events: list[Event]) -> AsyncGenerator[Told, None]:
        """Tell what is new among ``events``, and before it what they leave out."""
        events = [event for event in events if event.seq > self.seq]
        while events:
            async for told in self.up_to(events[0].seq - 1):
                yield told
            run = leading_run(events)
            self.seq = run[-1].seq
            yield run
            events = events[len(run) :]

    async def up_to(self, last: int) -> AsyncGenerator[Told, None]:
        """Tell what is left up to number ``last``, from wherever it stands; what stands nowhere, as a gap."""
        while self.seq < last:
            page = await self._page(last - self.seq)
            run = leading_run([event for event in page if event.seq <= last])
            missing_up_to = run[0].seq - 1 if run else last
            if missing_up_to > self.seq:
                yield EventGap(first=self.seq + 1, last=missing_up_to)
            self.seq = run[-1].seq if run else last
            if run:
                yield run

    async def look_again(self) -> AsyncGenerator[Told, None]:
        """Tell what the record knows and the stream does not: what was archived, and that the job has ended."""
        just_read, self._just_read = self._just_read, None
        if just_read is not None and not just_read.status.is_terminal and just_read.last_seq == self.seq:
            yield None  # a crowd that connects need not read the record once more
            return
        try:
            job = await self._jobs.get(self._job_id)
        except StoreUnavailableError:
            yield None  # the stream waits for it to come back
            return
        async for told in self.up_to(job.last_seq if job.status.is_terminal else job.archived_seq):
            yield told
        if job.status.is_terminal:
            yield StreamEnd(status=job.status, termination_reason=job.termination_reason, last_id=job.last_seq)
        else:
            yield None

    async def _page(self, count: int) -> list[Event]:
        return await read_events(
            await self._jobs.get(self._job_id),
            jobs=self._jobs,
            artifacts=self._artifacts,
            secret_key=self._secret_key,
            after=self.seq,
            limit=min(_PAGE, count),
        )
