"""Writes what an attempt left behind to the artifact store."""

from collections.abc import Mapping
from datetime import datetime

import pydantic_core

from dspy_service.domain import artifact_paths as paths
from dspy_service.domain.job import Claim, JobStatus
from dspy_service.domain.result import StoredResult
from dspy_service.domain.supervision import RunReport
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.signed_files import write_signed

_EVENTS_PAGE = 2_000
_DEPENDENCIES = ("python", "dspy", "cloudpickle")
"""What ``dspy.load`` compares with the loading process."""


async def publish(
    claim: Claim,
    report: RunReport,
    *,
    ended_at: datetime,
    artifacts: ArtifactStore,
    secret_key: bytes,
) -> None:
    """Write the attempt's own folder, then the same files where readers look; a signed manifest ends each.

    The caller has just renewed its lease: a worker that lost its job never comes here. One that is paused right here,
    for longer than its lease, may still overwrite what its successor published; the signature names the fence, so that
    readers refuse it. ``spec.json`` keeps what was asked for, which ``finish`` takes out of the job store.
    """
    files = _files(claim, report, ended_at=ended_at)
    job_id = claim.job.job_id
    for folder in (paths.attempt_folder(job_id, claim.fence), paths.published_folder(job_id)):
        await write_signed(folder, files, job=claim.job, artifacts=artifacts, secret_key=secret_key)


async def archive_events(job_id: str, *, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> None:
    """Move an ended job's event log to the artifact store, under a signature of its own.

    The file is whole before the log is dropped; a crash in between leaves both, and doing it again is harmless.
    """
    job = await jobs.get(job_id)
    lines: list[bytes] = []
    after = 0
    while page := await jobs.events(job_id, after=after, limit=_EVENTS_PAGE):
        lines += [event.model_dump_json().encode() + b"\n" for event in page]
        after = page[-1].seq
    log = {paths.EVENTS: b"".join(lines)}
    await write_signed(paths.published_folder(job_id), log, job=job, artifacts=artifacts, secret_key=secret_key)
    await jobs.drop_events(job_id)


def has_program(report: RunReport) -> bool:
    """Whether the attempt gave a program that can be loaded."""
    return report.status is not JobStatus.FAILED and paths.PROGRAM_PICKLE in report.files


def _files(claim: Claim, report: RunReport, *, ended_at: datetime) -> Mapping[str, bytes]:
    stored = stored_result(claim, report, ended_at=ended_at)
    program = {name: report.files[name] for name in (paths.PROGRAM_STATE, paths.PROGRAM_PICKLE) if name in report.files}
    files = {}
    if has_program(report):
        files = {paths.METADATA: _metadata(claim, report, stored), **program}
    return {**files, paths.SPEC: claim.spec.model_dump_json().encode(), paths.RESULT: stored.model_dump_json().encode()}


def stored_result(claim: Claim, report: RunReport, *, ended_at: datetime) -> StoredResult:
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
