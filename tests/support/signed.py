"""A key for tests, and files as a worker would have signed them."""

from collections.abc import Mapping

from dspy_service.domain.job import Job
from dspy_service.ports import ArtifactStore
from dspy_service.usecases.signed_files import write_signed

SECRET_KEY = b"a key that only tests know, and 32"


async def put_signed(job: Job, files: Mapping[str, bytes], artifacts: ArtifactStore) -> None:
    """Publish files of a job under one manifest."""
    await write_signed(job.job_id, files, job=job, artifacts=artifacts, secret_key=SECRET_KEY)
