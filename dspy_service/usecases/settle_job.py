"""Puts what an ended job left behind in its last place: the artifact store; hardly anything stays in Redis."""

import asyncio
import logging
from typing import Final

from dspy_service.domain import artifact_paths as paths
from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError, JobNotFoundError
from dspy_service.domain.job import Job, JobStatus
from dspy_service.domain.log_index import index_log
from dspy_service.domain.spec import JobSpec
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.save_journal import save_journal
from dspy_service.usecases.signed_files import copy_signed, read_signed, write_signed

_log: Final = logging.getLogger(__name__)
_EVENTS_PAGE: Final = 2_000


async def settle_job(job_id: str, *, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> None:
    """Archive the job's log and spec, copy what a person looks for to ``<job>/``, and clear what nobody needs.

    The order matters: the archive is whole, in a folder that no reader knows yet, before the record names it and the
    job store drops its own copy in the same step. So a crash anywhere, or two workers at once, only do some of it
    twice. A failed job keeps its journal, which a ``retry`` replays.

    Nothing happens to a job that has not ended, is settled already, or is gone.

    Raises:
        StoreUnavailableError: it is not settled yet; whoever looks for unsettled jobs tries again.
    """
    job = await _newest(job_id, jobs)
    if job is None or not job.status.is_terminal or job.archived_seq >= job.last_seq:
        return
    archive = await _archive(job, jobs, artifacts, secret_key)
    if archive is None:
        return  # somebody else was faster
    folder = paths.attempt_folder(job_id, job.fence)
    await write_signed(folder, archive, job=job, artifacts=artifacts, secret_key=secret_key)
    settled = job.model_copy(update={"archived_seq": job.last_seq, "archive_fence": job.fence})
    await _copy(settled, artifacts, secret_key)
    await _clear(job, artifacts, keep=(folder, paths.attempt_folder(job_id, job.archive_fence)))
    if job.status is JobStatus.FAILED:
        await save_journal(job, tail=jobs, artifacts=artifacts, secret_key=secret_key)
    await jobs.settle(job_id, fence=job.fence, archived_seq=job.last_seq)
    newest = await _newest(job_id, jobs)
    if newest is None:
        await artifacts.delete_folder(paths.published_folder(job_id))  # its user deleted it before we had written all
    elif newest.fence != job.fence and newest.status.is_terminal and newest.archived_seq == newest.last_seq:
        await _copy(newest, artifacts, secret_key)  # it ended anew, and was settled, before we had
        await _clear(newest, artifacts, keep=(paths.attempt_folder(job_id, newest.archive_fence),))
    elif job.archived_seq and job.archive_fence != job.fence:
        await _clear(job, artifacts, keep=(folder,))


async def _newest(job_id: str, jobs: JobStore) -> Job | None:
    try:
        return await jobs.get(job_id)
    except JobNotFoundError:
        return None


async def _archive(job: Job, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> dict[str, bytes] | None:
    """Return the whole log, with what an earlier end has archived, and the spec; None when the job was settled."""
    earlier = await _earlier_log(job, artifacts, secret_key)
    spec = await jobs.spec(job.job_id)  # after it: whoever settles the job clears its old archive only then
    log, seq = list(earlier or ()), job.archived_seq
    while page := await jobs.events(job.job_id, after=seq, limit=_EVENTS_PAGE):
        log += [event.model_dump_json().encode() + b"\n" for event in page]
        seq = page[-1].seq
    if spec is None or seq != job.last_seq:
        return None
    if earlier is None:
        _log.warning(
            "The events of job %s before its retry are lost: their archive was changed or removed.", job.job_id
        )
    index = await asyncio.to_thread(index_log, log)
    return {
        paths.EVENTS: b"".join(log),
        paths.EVENTS_INDEX: index.model_dump_json().encode(),
        paths.SPEC: spec.model_dump_json().encode(),
    }


async def _earlier_log(job: Job, artifacts: ArtifactStore, secret_key: bytes) -> list[bytes] | None:
    """Return the lines that stood in the archive when the job was reopened; None when they are not there any more."""
    if not job.archived_seq:
        return []
    try:
        log = await read_signed(job, paths.EVENTS, artifacts=artifacts, secret_key=secret_key)
    except (FileNotStoredError, ArtifactCorruptError):
        return None
    return log.splitlines(keepends=True)[: job.archived_seq]


async def _copy(job: Job, artifacts: ArtifactStore, secret_key: bytes) -> None:
    """Copy result and archive to ``<job>/``; files that somebody changed stay where they are."""
    for name in (paths.RESULT, paths.EVENTS):
        try:
            await copy_signed(job, name, paths.published_folder(job.job_id), artifacts=artifacts, secret_key=secret_key)
        except FileNotStoredError:
            _log.debug("Job %s has no %s to copy.", job.job_id, name)
        except ArtifactCorruptError as error:
            _log.warning("Not everything of job %s was copied: %s", job.job_id, error)


async def _clear(job: Job, artifacts: ArtifactStore, *, keep: tuple[str, ...]) -> None:
    """Delete folders that nobody reads any more: of other attempts, of other checkpoints, and a journal's.

    Args:
        job: The record as it ended; attempts that came later are left alone.
        artifacts: Where they stand.
        keep: What must stay besides the result.
    """
    kept = {*keep, job.result_path or ""}
    if job.status is not JobStatus.FAILED:
        await artifacts.delete_folder(paths.journal_folder(job.job_id))
    found = {paths.attempt_folder_of(path) for path in await artifacts.list(job.job_id)} - {None}
    for folder, fence in sorted(place for place in found if place is not None):
        is_needed = any(path == folder or path.startswith(f"{folder}/") for path in kept)
        if fence <= job.fence and not is_needed:
            await artifacts.delete_folder(folder)


async def stored_spec(job: Job, *, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> JobSpec:
    """Return what was asked for, wherever it stands now.

    Raises:
        FileNotStoredError: the job's archive was removed.
        ArtifactCorruptError: the archived spec is not what was signed.
    """
    spec = await jobs.spec(job.job_id)
    if spec is not None:
        return spec
    archived = await jobs.get(job.job_id)
    data = await read_signed(archived, paths.SPEC, artifacts=artifacts, secret_key=secret_key)
    return JobSpec.model_validate_json(data)
