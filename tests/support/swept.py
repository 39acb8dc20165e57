"""Ended jobs with all their files, and artifact stores that do not delete what they should."""

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Job, NewJob
from dspy_service.usecases.patience import Patience
from dspy_service.usecases.sweep_retention import sweep_retention
from tests.support.job_samples import OUTCOME, a_new_job

DAY = 24 * 3600.0
ROWS = "datasets/local/abc.json"


class Artifacts(MemoryArtifactStore):
    """Refuses to delete what a test names, or everything ("")."""

    refused: str | None = None

    async def delete(self, path: str) -> None:
        self._check(path)
        await super().delete(path)

    async def delete_folder(self, folder: str) -> None:
        self._check(folder)
        await super().delete_folder(folder)

    def _check(self, path: str) -> None:
        if self.refused is not None and path.startswith(self.refused):
            raise StoreUnavailableError("artifact store")


async def ended(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, *, new: NewJob | None = None) -> Job:
    """Run a job to its end and put it away, with files of every kind."""
    new = new or a_new_job(dataset_path=ROWS)
    await artifacts.put(new.dataset_path, b"[]")
    await jobs.create(new)
    assert await jobs.claim(new.job_id, owner="w1", lease_seconds=60, sandbox_level="L1") is not None
    await jobs.advance(new.job_id, fence=1)
    job = await jobs.finish(new.job_id, fence=1, outcome=OUTCOME)
    for name in ("program.pkl", "1/program.pkl", "1/best-1/program.pkl", "journal/00000001-00000001.seg"):
        await artifacts.put(f"{new.job_id}/{name}", b"x")
    await jobs.settle(new.job_id, fence=1, archived_seq=job.last_seq)
    return await jobs.get(new.job_id)


async def sweep(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, *, days: float = 7) -> None:
    await sweep_retention(
        jobs=jobs, artifacts=artifacts, retention_days=days, patience=Patience(files_seconds=0, retry_seconds=0)
    )
