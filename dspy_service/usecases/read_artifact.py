"""Reads what a job left in the artifact store."""

import base64
from collections.abc import AsyncIterator

import pydantic_core

from dspy_service.domain import artifact_paths as paths
from dspy_service.domain.errors import ArtifactNotFoundError, FileNotStoredError, JobNotFinishedError
from dspy_service.domain.job import Job
from dspy_service.domain.result import ProgramArtifact, StoredResult
from dspy_service.domain.views import ArtifactView
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.find_job import find_job
from dspy_service.usecases.signed_files import read_signed, stream_signed


async def read_artifact(
    job_id: str, *, tenant: str, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes
) -> ArtifactView:
    """Return the compiled program with its metadata.

    Raises:
        JobNotFoundError: this tenant has no such job.
        JobNotFinishedError: it has not ended.
        ArtifactNotFoundError: it ended without a program.
        ArtifactCorruptError: what is stored is not what was signed.
    """
    job = await _ended(job_id, tenant, jobs)
    if not job.has_artifact:
        raise ArtifactNotFoundError(job_id, job.status)
    program = await read_program(job, artifacts=artifacts, secret_key=secret_key)
    return ArtifactView(program_artifact_path=program.path, program_artifact=program)


async def open_artifact_file(
    job_id: str, name: str, *, tenant: str, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes
) -> AsyncIterator[bytes]:
    """Find and verify one file of an ended job, and return its pieces.

    Raises:
        JobNotFoundError: this tenant has no such job.
        JobNotFinishedError: it has not ended.
        FileNotStoredError: no such file, or a name that is none of ``PUBLIC_FILES``.
        ArtifactCorruptError: what is stored is not what was signed.
    """
    job = await _ended(job_id, tenant, jobs)
    if name not in paths.PUBLIC_FILES:
        raise FileNotStoredError(paths.file_in(paths.published_folder(job_id), name))
    return await stream_signed(job, name, artifacts=artifacts, secret_key=secret_key)


async def read_program(job: Job, *, artifacts: ArtifactStore, secret_key: bytes) -> ProgramArtifact:
    """Return the program of a job that has one; its pickle is opaque bytes here. Raises ArtifactCorruptError."""
    pickle = await read_signed(job, paths.PROGRAM_PICKLE, artifacts=artifacts, secret_key=secret_key)
    metadata = await read_signed(job, paths.METADATA, artifacts=artifacts, secret_key=secret_key)
    return ProgramArtifact(
        path=paths.public_artifact_path(job.job_id),
        program_pickle_base64=base64.b64encode(pickle).decode(),
        metadata=pydantic_core.from_json(metadata),
    )


async def read_result(job: Job, *, artifacts: ArtifactStore, secret_key: bytes) -> StoredResult:
    """Return what an ended job measured; empty for one that ended before its runner could say anything.

    Raises:
        ArtifactCorruptError: what is stored is not what was signed.
    """
    if job.result_path is None:
        return StoredResult(
            module_name=job.module_name,
            optimizer_name=job.optimizer_name,
            termination_reason=job.termination_reason or "error",
            sandbox_level=job.sandbox_level,
            runtime_seconds=job.elapsed_seconds(),
        )
    data = await read_signed(job, paths.RESULT, artifacts=artifacts, secret_key=secret_key)
    stored = StoredResult.model_validate_json(data)
    if job.best is None or job.result_path != job.best.path:
        return stored
    # It ended while no worker held it, so that a checkpoint became its result: only the record knows the end.
    changes = {"termination_reason": job.termination_reason or "error", "runtime_seconds": job.elapsed_seconds()}
    return stored.model_copy(update=changes)


async def _ended(job_id: str, tenant: str, jobs: JobStore) -> Job:
    job = await find_job(job_id, tenant=tenant, jobs=jobs)
    if not job.status.is_terminal:
        raise JobNotFinishedError(job_id, job.status)
    return job
