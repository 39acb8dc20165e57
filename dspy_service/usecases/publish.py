"""Writes what an attempt left behind, or has reached so far, to a folder of its own in the artifact store."""

from collections.abc import Mapping
from datetime import datetime

import pydantic_core

from dspy_service.domain import artifact_paths as paths
from dspy_service.domain.job import Claim, JobStatus
from dspy_service.domain.result import StoredResult
from dspy_service.domain.supervision import RunReport
from dspy_service.ports import ArtifactStore
from dspy_service.usecases.signed_files import write_signed

_DEPENDENCIES = ("python", "dspy", "cloudpickle")
"""What ``dspy.load`` compares with the loading process."""


async def publish(
    folder: str,
    claim: Claim,
    report: RunReport,
    *,
    ended_at: datetime,
    artifacts: ArtifactStore,
    secret_key: bytes,
) -> None:
    """Write the files of a report, and last a signed manifest.

    The folder belongs to this attempt alone, and nobody reads it before a fenced step names it. So a worker that lost
    its job without knowing may write here as long as it likes.

    Args:
        folder: Of the attempt, or of one checkpoint of it.
        claim: Whose fence the manifest names.
        report: What to keep.
        ended_at: By the job store's clock.
        artifacts: Where it goes.
        secret_key: Signs it.
    """
    files = _files(claim, report, ended_at=ended_at)
    await write_signed(folder, files, job=claim.job, artifacts=artifacts, secret_key=secret_key)


def has_program(report: RunReport) -> bool:
    """Whether the attempt gave a program that can be loaded."""
    return report.status is not JobStatus.FAILED and paths.PROGRAM_PICKLE in report.files


def _files(claim: Claim, report: RunReport, *, ended_at: datetime) -> Mapping[str, bytes]:
    stored = _stored_result(claim, report, ended_at=ended_at)
    files = {paths.RESULT: stored.model_dump_json().encode()}
    if has_program(report):
        files[paths.METADATA] = _metadata(claim, report, stored)
        files |= {n: report.files[n] for n in (paths.PROGRAM_STATE, paths.PROGRAM_PICKLE) if n in report.files}
    return files


def _stored_result(claim: Claim, report: RunReport, *, ended_at: datetime) -> StoredResult:
    """Return ``result.json``: what was measured, and what only the worker knows."""
    job = claim.job
    measured = report.result.model_dump() if report.result is not None else {}
    names = {"module_name": job.module_name, "optimizer_name": job.optimizer_name}  # as submitted, not as resolved
    return StoredResult.model_validate(
        {
            **measured,
            **names,
            "runtime_seconds": _seconds(job.started_at, ended_at),
            "usage": report.usage,
            "termination_reason": report.termination_reason,
            "sandbox_level": job.sandbox_level,
            "failure": report.failure.model_dump(mode="json") if report.failure is not None else None,
        }
    )


def _metadata(claim: Claim, report: RunReport, stored: StoredResult) -> bytes:
    """Return ``metadata.json``: the runner's own facts, ours over them, and the versions that ``dspy.load`` reads."""
    told = pydantic_core.from_json(report.files.get(paths.METADATA, b"{}"))
    metadata = {
        **(told if isinstance(told, dict) else {}),
        "job_id": claim.job.job_id,
        "module_name": stored.module_name,
        "optimizer_name": stored.optimizer_name,
        "baseline_test_metric": stored.baseline_test_metric,
        "optimized_test_metric": stored.optimized_test_metric,
        "sandbox_level": stored.sandbox_level,
    }
    versions = {name: stored.versions[name] for name in _DEPENDENCIES if name in stored.versions}
    metadata.setdefault("dependency_versions", versions)
    return pydantic_core.to_json(metadata, indent=2)


def _seconds(started_at: datetime | None, ended_at: datetime) -> float | None:
    return None if started_at is None else max(0.0, (ended_at - started_at).total_seconds())
