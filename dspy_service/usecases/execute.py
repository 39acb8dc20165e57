"""Takes one job from its doorbell to its end."""

import asyncio
import hashlib
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

import pydantic_core

from dspy_service.domain.artifact_paths import dataset_path, published_folder
from dspy_service.domain.errors import (
    ArtifactCorruptError,
    FileNotStoredError,
    LeaseLostError,
    ServiceError,
    StoreUnavailableError,
)
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import Claim, Failure, JobStatus, Outcome
from dspy_service.domain.spec import Row
from dspy_service.domain.supervision import RunReport
from dspy_service.ports import ArtifactStore, JobStore, Supervisor
from dspy_service.usecases.accept_program import accept_program
from dspy_service.usecases.keep_lease import keep_lease
from dspy_service.usecases.publish import archive_events, has_program, publish

_log: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 0.5
_FILES_PATIENCE_SECONDS: Final = 120.0
"""How long the artifact store may be away before a job fails over it. The job store may be away for as long as the
lease holds: whoever keeps the lease ends the attempt."""
_INTERNAL: Final = "The service failed while it ran this job; its operator has the log."

T = TypeVar("T")
FAILURE_LOGGER: Final = "dspy_service.job"


async def execute(
    job_id: str,
    *,
    owner: str,
    lease_seconds: float,
    heartbeat_seconds: float,
    jobs: JobStore,
    artifacts: ArtifactStore,
    supervisor: Supervisor,
    secret_key: bytes,
) -> None:
    """Claim the job and see it through; returns at once when there is nothing to take.

    The order of effects: claim (fence + 1, leased) → rows from the artifact store → the runner, whose events are
    appended as they happen → the program's state is accepted, or fails the job → a failure's traceback as an ERROR
    log → the lease once more, as proof → signed files into ``<job>/<fence>/``, then into ``<job>/`` → the fenced
    ``finish`` → the event log moves to ``<job>/events.jsonl``, signed too. A crash before ``finish`` leaves a job that
    another worker may take, and files that it overwrites; a crash after it leaves the event log where it was.

    A job that fails is data and raises nothing here. Losing the lease is silent too: the job is another worker's.

    Args:
        job_id: From the doorbell; it may be claimed, ended or unknown by now.
        owner: The worker's name, for people who look at the record.
        lease_seconds: How long the claim holds without a heartbeat.
        heartbeat_seconds: Between heartbeats.
        jobs: The records.
        artifacts: The rows, and where files go.
        supervisor: Runs submitted code.
        secret_key: Signs the files.

    Raises:
        StoreUnavailableError: the job could not be claimed; it waits for the next ring.
    """
    level = supervisor.sandbox_level
    claim = await jobs.claim(job_id, owner=owner, lease_seconds=lease_seconds, sandbox_level=level)
    if claim is None:
        _log.info("Job %s is not there to be taken.", job_id)
        return
    cancel = asyncio.Event()
    ended = False
    try:
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(
                keep_lease(
                    claim,
                    jobs=jobs,
                    lease_seconds=lease_seconds,
                    heartbeat_seconds=heartbeat_seconds,
                    cancel=cancel,
                )
            )
            report = await _supervised(claim, jobs=jobs, artifacts=artifacts, supervisor=supervisor, cancel=cancel)
            report = accept_program(report)
            await _end(
                claim, report, lease_seconds=lease_seconds, jobs=jobs, artifacts=artifacts, secret_key=secret_key
            )
            keeper.cancel()
            ended = True
    except* LeaseLostError:
        _log.warning("Job %s is another worker's now; this attempt (fence %d) wrote no end.", job_id, claim.fence)
    if ended:
        await _archive(job_id, jobs=jobs, artifacts=artifacts, secret_key=secret_key)


async def _supervised(
    claim: Claim, *, jobs: JobStore, artifacts: ArtifactStore, supervisor: Supervisor, cancel: asyncio.Event
) -> RunReport:
    """Return how the attempt ended, whatever happened; only a lost lease is raised."""
    try:
        rows = await _rows(claim, artifacts)
        return await supervisor.run(claim, rows, jobs=jobs, cancel=cancel)
    except LeaseLostError:
        raise
    except FileNotStoredError:
        return RunReport.failed("dataset_missing", "The rows of this job are no longer stored; submit it again.")
    except ServiceError as error:
        _log.exception("Job %s failed by a fault of the service.", claim.job.job_id)
        return RunReport.failed(error.code, str(error))
    except Exception:  # noqa: BLE001  # outermost frame of a job: a bug of ours must still end it
        _log.exception("Job %s failed by a bug of the service.", claim.job.job_id)
        return RunReport.failed("internal_error", _INTERNAL)


async def _rows(claim: Claim, artifacts: ArtifactStore) -> Sequence[Row]:
    path = claim.job.dataset_path
    data = await _patiently(lambda: artifacts.get(path), patience_seconds=_FILES_PATIENCE_SECONDS)
    # The record names what the rows were when it was made.
    if dataset_path(claim.job.tenant, hashlib.sha256(data).hexdigest()) != path:
        raise ArtifactCorruptError(path, "its content is not what its name says")
    rows: Sequence[Row] = pydantic_core.from_json(data)
    return rows


async def _end(
    claim: Claim,
    report: RunReport,
    *,
    lease_seconds: float,
    jobs: JobStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
) -> None:
    """Tell a failure, write the files, and finish."""
    job_id, fence = claim.job.job_id, claim.fence
    if report.failure is not None:
        await _log_failure(claim, report.failure, jobs=jobs)
    outcome = Outcome(
        status=report.status,
        termination_reason=report.termination_reason,
        message=_message(report),
        result_path=published_folder(job_id),
        has_artifact=has_program(report),
    )
    try:
        await _publish(
            claim, report, lease_seconds=lease_seconds, jobs=jobs, artifacts=artifacts, secret_key=secret_key
        )
        await _patiently(lambda: jobs.finish(job_id, fence=fence, outcome=outcome))
    except LeaseLostError:
        raise
    except StoreUnavailableError as error:
        _log.exception("The files of job %s could not be written.", job_id)
        message = f"The {error.what} did not answer for {_FILES_PATIENCE_SECONDS:g} s, so the program was not kept."
        await _give_up(claim, message, jobs=jobs)
    except Exception:  # noqa: BLE001  # outermost frame of a job: a bug of ours must still end it
        _log.exception("Job %s could not be ended as it should.", job_id)
        await _give_up(claim, _INTERNAL, jobs=jobs)


async def _give_up(claim: Claim, message: str, *, jobs: JobStore) -> None:
    """End the job as failed, with nothing in the artifact store."""
    outcome = Outcome(status=JobStatus.FAILED, termination_reason="error", message=message)
    await _patiently(lambda: jobs.finish(claim.job.job_id, fence=claim.fence, outcome=outcome))


async def _publish(
    claim: Claim,
    report: RunReport,
    *,
    lease_seconds: float,
    jobs: JobStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
) -> None:
    """Write the files, each time right after a proof of the lease."""

    async def proof() -> datetime:
        await jobs.renew(claim.job.job_id, fence=claim.fence, lease_seconds=lease_seconds)
        return await jobs.now()

    async def write() -> None:
        ended_at = await _patiently(proof)
        await publish(claim, report, ended_at=ended_at, artifacts=artifacts, secret_key=secret_key)

    await _patiently(write, patience_seconds=_FILES_PATIENCE_SECONDS)


async def _log_failure(claim: Claim, failure: Failure, *, jobs: JobStore) -> None:
    """Log why the job failed, with the user's own traceback."""
    text = failure.traceback or failure.message
    event = NewEvent(type=EventType.LOG, data={"level": "ERROR", "logger": FAILURE_LOGGER, "message": text})
    await _patiently(lambda: jobs.append(claim.job.job_id, fence=claim.fence, events=[event], batch="failure"))


async def _patiently(effect: Callable[[], Awaitable[T]], *, patience_seconds: float = math.inf) -> T:
    """Repeat an idempotent effect while a store is away; raises StoreUnavailableError once the patience is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_seconds
    while True:
        try:
            return await effect()
        except StoreUnavailableError:
            if loop.time() > until:
                raise
            await asyncio.sleep(_RETRY_SECONDS)


async def _archive(job_id: str, *, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> None:
    try:
        await archive_events(job_id, jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    except StoreUnavailableError:
        _log.warning("The events of job %s stay in the job store for now.", job_id, exc_info=True)


def _message(report: RunReport) -> str:
    if report.failure is not None:
        return report.failure.message
    return {JobStatus.SUCCESS: "completed", JobStatus.CANCELLED: "cancelled"}.get(report.status, "failed")
