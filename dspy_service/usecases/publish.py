"""Writes what an attempt left behind to the artifact store."""

from collections.abc import Mapping
from datetime import datetime

import pydantic_core

from dspy_service.domain import artifact_paths as paths
from dspy_service.domain.job import Claim, JobStatus
from dspy_service.domain.result import StoredResult
from dspy_service.domain.supervision import RunReport
from dspy_service.ports import ArtifactStore, JobStore

_EVENTS_PAGE = 2_000
_DEPENDENCIES = ("python", "dspy", "cloudpickle")
"""What ``dspy.load`` compares with the loading process."""


async def publish(
    claim: Claim, report: RunReport, *, ended_at: datetime, sandbox_level: str, artifacts: ArtifactStore
) -> None:
    """Write the attempt's own folder, then the same files where readers look.

    The caller has just renewed its lease: a worker that lost its job never comes here. ``metadata.json`` is written
    before ``program.pkl`` and ``result.json`` last, so that whoever finds one finds what it refers to.
    """
    files = _files(claim, report, ended_at=ended_at, sandbox_level=sandbox_level)
    job_id = claim.job.job_id
    for folder in (paths.attempt_folder(job_id, claim.fence), paths.published_folder(job_id)):
        for name, data in files.items():
            await artifacts.put(paths.file_in(folder, name), data)


async def archive_events(job_id: str, *, jobs: JobStore, artifacts: ArtifactStore) -> None:
    """Move an ended job's event log to the artifact store.

    The file is whole before the log is dropped; a crash in between leaves both, and doing it again is harmless.
    """
    lines: list[bytes] = []
    after = 0
    while page := await jobs.events(job_id, after=after, limit=_EVENTS_PAGE):
        lines += [event.model_dump_json().encode() + b"\n" for event in page]
        after = page[-1].seq
    await artifacts.put(paths.file_in(paths.published_folder(job_id), paths.EVENTS), b"".join(lines))
    await jobs.drop_events(job_id)


def has_program(report: RunReport) -> bool:
    """Whether the attempt gave a program that can be loaded."""
    return report.status is not JobStatus.FAILED and paths.PROGRAM_PICKLE in report.files


def _files(claim: Claim, report: RunReport, *, ended_at: datetime, sandbox_level: str) -> Mapping[str, bytes]:
    stored = stored_result(claim, report, ended_at=ended_at, sandbox_level=sandbox_level)
    program = {name: report.files[name] for name in (paths.PROGRAM_STATE, paths.PROGRAM_PICKLE) if name in report.files}
    files = {}
    if has_program(report):
        files = {paths.METADATA: _metadata(claim, report, stored), **program}
    return {**files, paths.RESULT: stored.model_dump_json().encode()}


def stored_result(claim: Claim, report: RunReport, *, ended_at: datetime, sandbox_level: str) -> StoredResult:
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
            "sandbox_level": sandbox_level,
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
