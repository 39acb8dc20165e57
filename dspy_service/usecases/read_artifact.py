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


async def read_artifact(job_id: str, *, jobs: JobStore, artifacts: ArtifactStore) -> ArtifactView:
    """Return the compiled program with its metadata.

    Raises:
        JobNotFoundError: there is no such job.
        JobNotFinishedError: it has not ended.
        ArtifactNotFoundError: it ended without a program.
    """
    job = await _ended(job_id, jobs)
    if not job.has_artifact:
        raise ArtifactNotFoundError(job_id, job.status)
    program = await read_program(job, artifacts=artifacts)
    return ArtifactView(program_artifact_path=program.path, program_artifact=program)


async def open_artifact_file(
    job_id: str, name: str, *, jobs: JobStore, artifacts: ArtifactStore
) -> AsyncIterator[bytes]:
    """Find one file of an ended job and return its pieces; the first is read here, so that a missing file is an error.

    Raises:
        JobNotFoundError: there is no such job.
        JobNotFinishedError: it has not ended.
        FileNotStoredError: no such file, or a name that is none of ``PUBLIC_FILES``.
    """
    job = await _ended(job_id, jobs)
    path = paths.file_in(job.result_path or paths.published_folder(job_id), name)
    if name not in paths.PUBLIC_FILES:
        raise FileNotStoredError(path)
    pieces = artifacts.stream(path)
    first = await anext(pieces, b"")
    return _chain(first, pieces)


async def read_program(job: Job, *, artifacts: ArtifactStore) -> ProgramArtifact:
    """Return the program of a job that has one."""
    folder = job.result_path or paths.published_folder(job.job_id)
    pickle = await artifacts.get(paths.file_in(folder, paths.PROGRAM_PICKLE))
    metadata = await artifacts.get(paths.file_in(folder, paths.METADATA))
    return ProgramArtifact(
        path=paths.public_artifact_path(job.job_id),
        program_pickle_base64=base64.b64encode(pickle).decode(),
        metadata=pydantic_core.from_json(metadata),
    )


async def read_result(job: Job, *, artifacts: ArtifactStore) -> StoredResult:
    """Return what an ended job measured; empty for one that ended before its runner could say anything."""
    if job.result_path is None:
        return StoredResult(
            module_name=job.module_name,
            optimizer_name=job.optimizer_name,
            termination_reason=job.termination_reason or "error",
            sandbox_level=job.sandbox_level,
            runtime_seconds=job.elapsed_seconds(),
        )
    return StoredResult.model_validate_json(await artifacts.get(paths.file_in(job.result_path, paths.RESULT)))


async def _ended(job_id: str, jobs: JobStore) -> Job:
    job = await jobs.get(job_id)
    if not job.status.is_terminal:
        raise JobNotFinishedError(job_id, job.status)
    return job


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
