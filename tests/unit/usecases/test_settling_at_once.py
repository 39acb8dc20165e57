"""Two workers that settle the same job at the same time leave what one leaves, wherever the slower one stands still."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.artifact_paths import journal_segment
from dspy_service.domain.events import Event
from dspy_service.domain.job import Job
from dspy_service.domain.spec import JobSpec
from dspy_service.usecases.control_job import retry
from dspy_service.usecases.delete_job import delete_job
from dspy_service.usecases.read_artifact import read_artifact
from dspy_service.usecases.read_events import read_events
from dspy_service.usecases.settle_job import settle_job
from tests.support.claims import DATASET, JOB_ID, new_job
from tests.support.lm_calls import rows_json
from tests.support.signed import SECRET_KEY
from tests.support.working import fail, start, succeed

MOST_STEPS = 100


class Steps:
    """Counts what a slow worker asks of both stores, and lets something happen before the step ``at``."""

    def __init__(self) -> None:
        self.at = 0
        self.count = 0
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def take(self) -> None:
        self.count += 1
        if self.count == self.at and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        await asyncio.sleep(0)


class Jobs(MemoryJobStore):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    async def get(self, job_id: str) -> Job:
        await self.steps.take()
        return await super().get(job_id)

    async def spec(self, job_id: str) -> JobSpec | None:
        await self.steps.take()
        return await super().spec(job_id)

    async def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        await self.steps.take()
        return await super().events(job_id, after=after, limit=limit)

    async def answers(self, job_id: str) -> tuple[int, list[str]]:
        await self.steps.take()
        return await super().answers(job_id)

    async def settle(self, job_id: str, *, fence: int, archived_seq: int) -> None:
        await self.steps.take()
        await super().settle(job_id, fence=fence, archived_seq=archived_seq)


class Files(MemoryArtifactStore):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    async def get(self, path: str) -> bytes:
        await self.steps.take()
        return await super().get(path)

    async def put(self, path: str, data: bytes) -> None:
        await self.steps.take()
        await super().put(path, data)

    async def list(self, folder: str) -> list[str]:
        await self.steps.take()
        return await super().list(folder)

    async def delete_folder(self, folder: str) -> None:
        await self.steps.take()
        await super().delete_folder(folder)


class Scene:
    """One job, both stores, and what can happen to it."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.jobs, self.files = Jobs(self.steps), Files(self.steps)

    async def settle(self) -> None:
        await settle_job(JOB_ID, jobs=self.jobs, artifacts=self.files, secret_key=SECRET_KEY)

    async def ended(self, *, how: str) -> None:
        """Let the job end: ``success``, ``failed``, or ``again``, which is a success after a failure and a retry."""
        await self.files.put(DATASET, rows_json(4))
        await self.jobs.create(new_job())
        fence = await start(self.jobs, JOB_ID)
        await self.files.put(journal_segment(JOB_ID, fence, 1), b"answers")
        await self.jobs.add_answers(JOB_ID, fence=fence, answers=["an answer"])
        if how != "success":
            await fail(self.jobs, JOB_ID, fence)
        if how == "again":
            fence = await self.reopened()
        if how != "failed":
            await succeed(self.jobs, self.files, JOB_ID, fence)

    async def reopened(self) -> int:
        await self.retry()
        return await start(self.jobs, JOB_ID)

    async def retry(self) -> None:
        await retry(JOB_ID, tenant="local", jobs=self.jobs, artifacts=self.files, secret_key=SECRET_KEY)

    async def ended_again(self) -> None:
        """Settle it, open it again, let it succeed and settle it."""
        await self.settle()
        await succeed(self.jobs, self.files, JOB_ID, await self.reopened())
        await self.settle()

    async def delete(self) -> None:
        await self.settle()
        await delete_job(JOB_ID, tenant="local", jobs=self.jobs, artifacts=self.files)

    def kept(self) -> list[str]:
        """Return the files but for the journal's, whose last answers may stand there twice."""
        return sorted(path for path in self.files.files if "journal" not in path)

    async def log(self) -> list[tuple[int, object]]:
        job = await self.jobs.get(JOB_ID)
        events = await read_events(job, jobs=self.jobs, artifacts=self.files, secret_key=SECRET_KEY)
        return [(event.seq, event.data) for event in events]


async def overtaken(how: str, meanwhile: Callable[[Scene], Awaitable[object]], *, at: int) -> Scene:
    """Settle a job with something in between, and return what is left."""
    scene = Scene()
    await scene.ended(how=how)
    scene.steps.count, scene.steps.at = 0, at
    scene.steps.meanwhile = lambda: meanwhile(scene)
    await scene.settle()
    assert scene.steps.meanwhile is None, "it never came to that step"
    return scene


async def steps_of(how: str) -> int:
    scene = Scene()
    await scene.ended(how=how)
    scene.steps.count = 0
    await scene.settle()
    assert 5 < scene.steps.count < MOST_STEPS
    return scene.steps.count


@pytest.mark.parametrize("how", ["success", "failed", "again"])
async def test_another_one_that_overtakes_changes_nothing(how: str) -> None:
    alone = Scene()
    await alone.ended(how=how)
    await alone.settle()
    log = await alone.log()

    for at in range(1, await steps_of(how) + 1):
        scene = await overtaken(how, Scene.settle, at=at)

        job = await scene.jobs.get(JOB_ID)
        assert (job.archived_seq, job.archive_fence) == (job.last_seq, job.fence), at
        assert await scene.log() == log, at
        assert scene.kept() == alone.kept(), at
        assert await scene.jobs.unsettled(older_than_seconds=0) == []
        if how != "failed":
            assert not any("journal" in path for path in scene.files.files), at
            assert await read_artifact(
                JOB_ID, tenant="local", jobs=scene.jobs, artifacts=scene.files, secret_key=SECRET_KEY
            )


async def test_a_retry_that_overtakes_is_not_disturbed() -> None:
    for at in range(1, await steps_of("failed") + 1):
        scene = await overtaken("failed", Scene.ended_again, at=at)

        job = await scene.jobs.get(JOB_ID)
        assert (job.status, job.archived_seq, job.archive_fence) == ("success", job.last_seq, job.fence), at
        assert [seq for seq, _ in await scene.log()] == list(range(1, job.last_seq + 1)), at
        assert await read_artifact(
            JOB_ID, tenant="local", jobs=scene.jobs, artifacts=scene.files, secret_key=SECRET_KEY
        ), at
        published = scene.files.files[f"{JOB_ID}/events.jsonl"]
        assert len(published.splitlines()) == job.last_seq, at
        assert {path.split("/")[1] for path in scene.kept() if path.count("/") > 1} == {DATASET.split("/")[1], "3"}, at


async def test_a_retry_that_runs_meanwhile_keeps_its_log_and_its_answers() -> None:
    async def open_again(scene: Scene) -> None:
        await scene.settle()
        fence = await scene.reopened()
        await scene.jobs.add_answers(JOB_ID, fence=fence, answers=["a new answer"])

    for at in range(1, await steps_of("failed") + 1):
        scene = await overtaken("failed", open_again, at=at)

        job = await scene.jobs.get(JOB_ID)
        assert job.status == "running", at
        assert [seq for seq, _ in await scene.log()] == list(range(1, job.last_seq + 1)), at
        assert "a new answer" in (await scene.jobs.answers(JOB_ID))[1], at
        assert scene.files.files[journal_segment(JOB_ID, 1, 1)] == b"answers", at


async def test_a_deletion_that_overtakes_leaves_nothing() -> None:
    for at in range(1, await steps_of("success") + 1):
        scene = await overtaken("success", Scene.delete, at=at)

        assert [path for path in scene.files.files if path.startswith(JOB_ID)] == [], at


async def test_many_at_once_leave_what_one_leaves() -> None:
    alone, scene = Scene(), Scene()
    for each in (alone, scene):
        await each.ended(how="again")

    await alone.settle()
    await asyncio.gather(*(scene.settle() for _ in range(5)))

    assert await scene.log() == await alone.log()
    assert sorted(scene.files.files) == sorted(alone.files.files)
