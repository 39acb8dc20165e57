"""A worker's parent tells webhooks and deletes what is past its time or was left, over a real store."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis.asyncio as redis

from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.adapters.redis.conversations import RedisConversationStore
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.adapters.redis.programs import RedisProgramStore
from dspy_service.config import Settings
from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.domain.errors import JobNotFoundError
from tests.support.conversation_samples import a_new_conversation
from tests.support.served_programs import a_new_version
from tests.support.valkey import raw_redis, redis_url, valkey_server
from tests.support.waiting import until
from tests.support.webhooks import Receiver, an_ended_job, receiving
from workers.bootstrap import Parent

__all__ = ["raw_redis", "redis_url", "valkey_server"]


@pytest.fixture
async def jobs(redis_url: str) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(redis_url)
    yield store
    await store.aclose()


@contextmanager
def worker(
    redis_url: str, folder: Path, *, retention_days: float = 0, conversation_retention_days: float = 0
) -> Iterator[None]:
    settings = Settings(
        redis_url=redis_url,
        data_dir=folder,
        artifacts_url=str(folder / "artifacts"),
        sandbox_min_level="L1",
        retention_days=retention_days,
        conversation_retention_days=conversation_retention_days,
    )
    dispatcher = Parent.prepare(settings).dispatcher(queues=("jobs",), concurrency=1)
    dispatcher.start()
    try:
        yield
    finally:
        dispatcher.stop()


async def test_an_end_is_told_to_its_webhook(
    jobs: RedisJobStore, raw_redis: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    receiver = Receiver()
    async with receiving(receiver):
        job = await an_ended_job(jobs, url=f"http://localhost:{receiver.port}/jobs")

        async def is_told() -> bool:
            return bool(receiver.posts) and not await raw_redis.exists("{dspy}:deliveries")

        with worker(redis_url, tmp_path):
            await until(is_told, seconds=10)

    assert [post.headers["webhook-id"] for post in receiver.posts] == [f"msg_{job.job_id}_{job.last_seq}"]


async def test_what_is_past_its_time_is_deleted(jobs: RedisJobStore, redis_url: str, tmp_path: Path) -> None:
    artifacts = FolderArtifactStore(tmp_path / "artifacts")
    job = await an_ended_job(jobs, url=None)
    await artifacts.put(f"{job.job_id}/1/program.pkl", b"x")
    await jobs.settle(job.job_id, fence=job.fence, archived_seq=job.last_seq)

    async def is_deleted() -> bool:
        try:
            await jobs.get(job.job_id)
        except JobNotFoundError:
            return True
        return False

    with worker(redis_url, tmp_path, retention_days=1e-9):
        await until(is_deleted, seconds=10)

    assert await artifacts.list(job.job_id) == []


async def test_rows_that_no_job_names_are_found(raw_redis: redis.Redis, redis_url: str, tmp_path: Path) -> None:
    left = dataset_path("local", "a" * 64)
    await FolderArtifactStore(tmp_path / "artifacts").put(left, b"[]")

    async def is_found() -> bool:
        return await raw_redis.zscore("{dspy}:orphans", left) is not None

    with worker(redis_url, tmp_path):
        await until(is_found, seconds=10)


async def test_files_that_no_served_version_names_are_deleted(
    raw_redis: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    artifacts = FolderArtifactStore(tmp_path / "artifacts")
    kept, left = a_new_version(digest="a"), a_new_version(digest="b")
    for version in (kept, left):
        await artifacts.put(f"{version.artifact_folder}/program.json", b"{}")
    programs = RedisProgramStore(redis_url)
    await programs.add_version(kept)
    await programs.aclose()
    seconds, _ = await raw_redis.time()
    await raw_redis.set(f"{{dspy}}:program:local:answers:left:{left.digest}", (seconds - 90_000) * 1_000_000)

    async def is_deleted() -> bool:
        return not await artifacts.list(left.artifact_folder)

    with worker(redis_url, tmp_path):
        await until(is_deleted, seconds=10)

    assert await artifacts.list(kept.artifact_folder) == [f"{kept.artifact_folder}/program.json"]


async def test_conversations_that_are_past_their_time_are_deleted(redis_url: str, tmp_path: Path) -> None:
    conversations = RedisConversationStore(redis_url)
    await conversations.create(a_new_conversation())

    async def is_deleted() -> bool:
        return await conversations.page("local") == ([], False)

    with worker(redis_url, tmp_path, conversation_retention_days=1e-9):
        await until(is_deleted, seconds=10)

    await conversations.aclose()
