"""Jobs that their own worker did not settle are settled by any other one."""

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Wish
from dspy_service.usecases.settle_left_jobs import BATCH, Settler
from tests.support.claims import JOB_ID, new_job
from tests.support.signed import SECRET_KEY


class Broken(MemoryArtifactStore):
    """Cannot take the archive of one job, for a reason of its own."""

    broken = True

    async def put(self, path: str, data: bytes) -> None:
        if self.broken and path.startswith(f"{JOB_ID}/"):
            raise RuntimeError("a bug")
        await super().put(path, data)


async def test_one_job_that_cannot_be_settled_does_not_keep_others_from_it(caplog: pytest.LogCaptureFixture) -> None:
    jobs, artifacts, clock = MemoryJobStore(), Broken(), [0.0]
    settler = Settler(secret_key=SECRET_KEY, clock=lambda: clock[0])
    for job_id in (JOB_ID, "other"):
        await jobs.create(new_job().model_copy(update={"job_id": job_id}))
        await jobs.wish(job_id, Wish.CANCEL)

    for _ in range(3):
        await settler.settle(jobs=jobs, artifacts=artifacts, older_than_seconds=0)

    assert (await jobs.get("other")).archived_seq
    assert not (await jobs.get(JOB_ID)).archived_seq
    assert caplog.text.count("cannot be put in its place") == 1

    artifacts.broken = False
    clock[0] = 61.0
    await settler.settle(jobs=jobs, artifacts=artifacts, older_than_seconds=0)

    assert (await jobs.get(JOB_ID)).archived_seq


async def test_many_jobs_that_cannot_be_settled_do_not_hide_the_others() -> None:
    class AllBroken(MemoryArtifactStore):
        async def put(self, path: str, data: bytes) -> None:
            if not path.startswith("last/"):
                raise RuntimeError("a bug")
            await super().put(path, data)

    jobs, settler = MemoryJobStore(), Settler(secret_key=SECRET_KEY)
    for job_id in (*map(str, range(BATCH)), "last"):
        await jobs.create(new_job().model_copy(update={"job_id": job_id}))
        await jobs.wish(job_id, Wish.CANCEL)

    for _ in range(2):
        await settler.settle(jobs=jobs, artifacts=AllBroken(), older_than_seconds=0)

    assert (await jobs.get("last")).archived_seq


async def test_a_store_that_is_away_is_told_to_the_caller() -> None:
    class Away(MemoryArtifactStore):
        async def put(self, _path: str, _data: bytes) -> None:
            raise StoreUnavailableError("artifact store")

    jobs = MemoryJobStore()
    await jobs.create(new_job())
    await jobs.wish(JOB_ID, Wish.CANCEL)

    with pytest.raises(StoreUnavailableError):
        await Settler(secret_key=SECRET_KEY).settle(jobs=jobs, artifacts=Away(), older_than_seconds=0)
