"""Keeps the best program so far where every kind of stop finds it."""

import dataclasses
import logging
from typing import Final

from dspy_service.domain import artifact_paths as paths
from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.job import BestSoFar, Claim, JobStatus
from dspy_service.domain.result import RunnerResult, StoredResult
from dspy_service.domain.supervision import Checkpoint, KeepBest, RunReport
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.accept_program import program_problem
from dspy_service.usecases.publish import publish
from dspy_service.usecases.signed_files import read_signed

_log: Final = logging.getLogger(__name__)


def keeper_of_best(claim: Claim, *, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> KeepBest:
    """Return what stores the checkpoints of one attempt.

    Files come first, in a folder of their own, then the record names them: a stop never finds half a program.
    """

    async def keep(checkpoint: Checkpoint) -> None:
        """Store one checkpoint. Raises LeaseLostError or StoreUnavailableError."""
        job_id, fence = claim.job.job_id, claim.fence
        if problem := program_problem(checkpoint.files):
            _log.warning("Checkpoint %d of job %s was not kept: %s", checkpoint.number, job_id, problem)
            return
        folder = paths.best_folder(job_id, fence, checkpoint.number)
        report = RunReport(  # it is read as a result only when the job ends here
            status=JobStatus.CANCELLED,
            termination_reason="cancelled",
            usage=checkpoint.usage,
            result=checkpoint.result,
            files=checkpoint.files,
        )
        now = await jobs.now()
        await publish(folder, claim, report, ended_at=now, artifacts=artifacts, secret_key=secret_key)
        best = BestSoFar(score=checkpoint.score, path=folder, fence=fence)
        await jobs.keep_best(job_id, fence=fence, best=best)

    return keep


async def with_earlier_best(
    claim: Claim, report: RunReport, *, artifacts: ArtifactStore, secret_key: bytes
) -> RunReport:
    """Return the report of a stopped attempt with the program of an earlier attempt, if that was better.

    An attempt that is stopped while it still replays has reached less than the one before it.
    """
    best = claim.job.best
    reached = report.checkpoint_score
    if best is None or not _was_stopped(report) or (reached is not None and reached >= best.score):
        return report
    job = claim.job.model_copy(update={"result_path": best.path, "result_fence": best.fence})
    names = (*paths.PROGRAM_FILES, paths.RESULT)
    try:
        files = {name: await read_signed(job, name, artifacts=artifacts, secret_key=secret_key) for name in names}
    except (FileNotStoredError, ArtifactCorruptError) as error:
        _log.warning("The best program so far of job %s cannot be used: %s", job.job_id, error)
        return report
    stored = StoredResult.model_validate_json(files.pop(paths.RESULT))
    measured = RunnerResult.model_construct(**{name: getattr(stored, name) for name in RunnerResult.model_fields})
    return dataclasses.replace(
        report,
        status=JobStatus.SUCCESS if report.status is JobStatus.FAILED else report.status,
        failure=None,
        result=measured,
        files=files,
        checkpoint_score=best.score,
    )


def _was_stopped(report: RunReport) -> bool:
    """Whether the attempt ended before the runner's own end, by a wish or by a budget."""
    is_own_end = report.checkpoint_score is None and bool(report.files)
    return report.termination_reason in {"cancelled", "budget_exhausted"} and not is_own_end
