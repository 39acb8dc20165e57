"""Plays the worker: takes a job through its life on the adapters in memory."""

import json
from datetime import UTC, datetime
from typing import Any

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.artifact_paths import METADATA, PROGRAM_PICKLE, RESULT
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import JobStatus, Outcome
from dspy_service.domain.result import SplitCounts, StoredResult
from dspy_service.domain.workers import SandboxLevel, WorkerInfo
from dspy_service.usecases.settle_job import settle_job
from tests.support.signed import SECRET_KEY, put_signed

PICKLE = b"\x80\x05pickled"
EVENTS_OF_A_RUN = [
    NewEvent(type=EventType.PROGRESS, data={"event": "dataset_splits_ready", "metrics": {"train": 10}}),
    NewEvent(type=EventType.LOG, data={"level": "INFO", "logger": "dspy.evaluate", "message": "Average Metric: 3 / 4"}),
    NewEvent(type=EventType.PROGRESS, data={"event": "baseline_evaluated", "metrics": {"baseline_test_metric": 0.5}}),
]


async def start(jobs: MemoryJobStore, job_id: str) -> int:
    """Claim the job, run it for a while, and return the fence."""
    claim = await jobs.claim(job_id, owner="test", lease_seconds=15, sandbox_level="L1")
    assert claim is not None
    await jobs.advance(job_id, fence=claim.fence)
    await jobs.append(
        job_id,
        fence=claim.fence,
        events=EVENTS_OF_A_RUN,
        latest_metrics={"baseline_test_metric": 0.5},
        message="baseline_evaluated",
        eta_seconds=40,
    )
    return claim.fence


async def succeed(
    jobs: MemoryJobStore, artifacts: MemoryArtifactStore, job_id: str, fence: int, *, pickle: bytes = PICKLE
) -> None:
    """Publish the files and end the job."""
    result = StoredResult(
        module_name="predict",
        optimizer_name="miprov2",
        metric_name="metric",
        split_counts=SplitCounts(train=10, val=6, test=4),
        baseline_test_metric=0.5,
        optimized_test_metric=0.75,
        runtime_seconds=1.5,
        termination_reason="completed",
        sandbox_level="L1",
        versions={"dspy": "3.4.1"},
    )
    files = {
        RESULT: result.model_dump_json().encode(),
        PROGRAM_PICKLE: pickle,
        METADATA: json.dumps({"dependency_versions": {"dspy": "3.4"}}).encode(),
    }
    folder = await put_signed(await jobs.get(job_id), files, artifacts)
    await end(jobs, job_id, fence, status=JobStatus.SUCCESS, reason="completed", folder=folder)


async def fail(jobs: MemoryJobStore, job_id: str, fence: int, *, folder: str | None = None) -> None:
    """End the job without a program."""
    await end(jobs, job_id, fence, status=JobStatus.FAILED, reason="error", folder=folder)


async def end(jobs: MemoryJobStore, job_id: str, fence: int, *, status: Any, reason: Any, folder: str | None) -> None:  # noqa: ANN401  # words of Literal types
    outcome = Outcome(
        status=status,
        termination_reason=reason,
        message="completed" if status is JobStatus.SUCCESS else "metric raised KeyError: 'team'",
        result_path=folder,
        has_artifact=status is JobStatus.SUCCESS,
    )
    await jobs.finish(job_id, fence=fence, outcome=outcome)


async def archive(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, job_id: str) -> None:
    """Move the event log to the artifact store."""
    await settle_job(job_id, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)


async def announce(jobs: MemoryJobStore, *levels: SandboxLevel, queues: tuple[str, ...] = ("jobs",)) -> None:
    """Let a worker of each level say that it lives."""
    for number, level in enumerate(levels):
        worker = WorkerInfo(
            worker_id=f"{queues[0]}:{number}:0",
            queues=queues,
            concurrency=2,
            sandbox_level=level,
            started_at=datetime.now(UTC),
        )
        await jobs.announce_worker(worker, ttl_seconds=60)
