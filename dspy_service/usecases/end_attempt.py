"""Ends the job of an attempt that came to its end: the failure's log line, the files, the fenced finish."""

import logging
from collections.abc import Callable
from typing import Final

from dspy_service.domain.artifact_paths import attempt_folder
from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import Claim, Failure, Job, JobStatus, Outcome
from dspy_service.domain.supervision import BUG, RunReport
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.accept_program import accept_program
from dspy_service.usecases.keep_best import with_earlier_best
from dspy_service.usecases.patience import Patience
from dspy_service.usecases.publish import has_program, publish

_log: Final = logging.getLogger(__name__)
FAILURE_LOGGER: Final = "dspy_service.job"


async def end_attempt(
    claim: Claim,
    report: RunReport,
    *,
    jobs: JobStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
    patience: Patience,
    active_seconds: float,
    is_leaving: Callable[[], bool],
) -> Job:
    """Return the job as it ended.

    The order of effects: the program's state is accepted, or fails the job → a failure's traceback as an ERROR log →
    signed files into ``<job>/<fence>/`` → the fenced ``finish`` that names them.

    Args:
        claim: Proof of ownership.
        report: How the attempt ended.
        jobs: The records.
        artifacts: Where files go.
        secret_key: Signs them.
        patience: How to wait for a store that is away.
        active_seconds: Running time of the job, with this attempt.
        is_leaving: Whether this worker has no time for that any more.

    Raises:
        LeaseLostError: the job is another worker's; it has no end of ours.
        StoreUnavailableError: the files could not be written; the job should be released.
    """
    try:
        if report.failure is not None:
            await _log_failure(claim, report.failure, jobs=jobs, patience=patience)
        report = await patience.for_files(
            lambda: with_earlier_best(claim, report, artifacts=artifacts, secret_key=secret_key), is_over=is_leaving
        )
        report = accept_program(report)
        outcome = _outcome(claim, report, active_seconds)
        ended_at = await patience.for_jobs(jobs.now)
        await patience.for_files(
            lambda: publish(
                attempt_folder(claim.job.job_id, claim.fence),
                claim,
                report,
                ended_at=ended_at,
                artifacts=artifacts,
                secret_key=secret_key,
            ),
            is_over=is_leaving,
        )
        return await _finish(claim, outcome, jobs=jobs, patience=patience)
    except (LeaseLostError, StoreUnavailableError):
        raise
    except Exception:  # noqa: BLE001  # outermost frame of a job: a bug of ours must still end it
        _log.exception("Job %s could not be ended as it should.", claim.job.job_id)
        given_up = Outcome(
            status=JobStatus.FAILED, termination_reason="error", message=BUG.message, active_seconds=active_seconds
        )
        return await _finish(claim, given_up, jobs=jobs, patience=patience)


async def _finish(claim: Claim, outcome: Outcome, *, jobs: JobStore, patience: Patience) -> Job:
    job_id, fence = claim.job.job_id, claim.fence
    if outcome.status is JobStatus.SUCCESS:  # of an earlier attempt's program, perhaps: this one had no time to begin
        await patience.for_jobs(lambda: jobs.advance(job_id, fence=fence))
    return await patience.for_jobs(lambda: jobs.finish(job_id, fence=fence, outcome=outcome))


def _outcome(claim: Claim, report: RunReport, active_seconds: float) -> Outcome:
    return Outcome(
        status=report.status,
        termination_reason=report.termination_reason,
        message=report.termination_reason if report.failure is None else report.failure.message,
        result_path=attempt_folder(claim.job.job_id, claim.fence),
        has_artifact=has_program(report),
        active_seconds=active_seconds,
    )


async def _log_failure(claim: Claim, failure: Failure, *, jobs: JobStore, patience: Patience) -> None:
    """Log why the attempt failed, with the user's own traceback."""
    text = failure.traceback or failure.message
    event = NewEvent(type=EventType.LOG, data={"level": "ERROR", "logger": FAILURE_LOGGER, "message": text})
    await patience.for_jobs(lambda: jobs.append(claim.job.job_id, fence=claim.fence, events=[event], batch="failure"))
