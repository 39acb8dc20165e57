"""A key for tests, and files as a worker would have signed them."""

from collections.abc import Mapping

from dspy_service.domain.artifact_paths import attempt_folder
from dspy_service.domain.job import Job
from dspy_service.ports import ArtifactStore
from dspy_service.usecases.signed_files import write_signed

SECRET_KEY = b"a key that only tests know, and 32"


async def put_signed(job: Job, files: Mapping[str, bytes], artifacts: ArtifactStore) -> str:
    """Write files of a job's attempt under one manifest, and return their folder."""
    folder = attempt_folder(job.job_id, job.fence)
    await write_signed(folder, files, job=job, artifacts=artifacts, secret_key=SECRET_KEY)
    return folder
