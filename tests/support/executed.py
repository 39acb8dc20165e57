"""``execute`` over in-memory stores and a scripted supervisor."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.artifact_paths import RESULT
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Claim, JobStatus
from dspy_service.domain.result import RoleUsage, RunnerResult, StoredResult, Usage
from dspy_service.domain.spec import Row
from dspy_service.domain.supervision import Checkpoint, Interrupted, KeepBest, Reins, RunReport
from dspy_service.domain.workers import SandboxLevel
from dspy_service.ports import JobStore
from dspy_service.usecases.execute import execute
from dspy_service.usecases.patience import Patience
from dspy_service.usecases.signed_files import read_signed
from tests.support.claims import DATASET, JOB_ID, new_job
from tests.support.lm_calls import rows_json
from tests.support.program_files import program_files
from tests.support.signed import SECRET_KEY

During = Callable[[Claim, Any, Reins], Awaitable[None]]

HASTY = Patience(files_seconds=0.05, retry_seconds=0.001, pause_seconds=0.01)

USAGE = Usage(roles={"task": RoleUsage(model="m", calls=3)}, total_calls=3, total_tokens=12, cost_usd=0.5)
_METADATA = {"dependency_versions": {"dspy": "3.4.1"}, "signature": {"name": "Route"}, "job_id": "forged"}
SUCCESS = RunReport(
    status=JobStatus.SUCCESS,
    termination_reason="completed",
    usage=USAGE,
    result=RunnerResult(
        module_name="dspy.Predict",
        optimizer_name="dspy.X",
        optimized_test_metric=0.75,
        versions={"python": "3.11.7", "dspy": "3.4.1", "gepa": "0.1.4"},
    ),
    files=program_files(metadata=_METADATA),
)


def checkpoint(number: int = 1, *, score: float = 0.5, pickle: bytes = b"best") -> Checkpoint:
    """Return a best program so far."""
    result = RunnerResult(module_name="dspy.Predict", optimizer_name="dspy.X", baseline_test_metric=0.25)
    return Checkpoint(number=number, score=score, files=program_files(pickle=pickle), result=result, usage=USAGE)


class ScriptedSupervisor:
    """Keeps checkpoints, then returns or raises what it is told to, after whatever ``during`` does."""

    sandbox_level: SandboxLevel = "L1"

    def __init__(
        self,
        outcome: RunReport | Interrupted | Exception = SUCCESS,
        during: During | None = None,
        *,
        checkpoints: Sequence[Checkpoint] = (),
        begins: bool = True,
    ) -> None:
        self.outcome = outcome
        self.during = during
        self.checkpoints = checkpoints
        self.begins = begins
        self.rows: Sequence[Row] | None = None
        self.claims: list[Claim] = []
        self.cancelled = False

    async def run(
        self, claim: Claim, rows: Sequence[Row], *, jobs: JobStore, reins: Reins, keep_best: KeepBest
    ) -> RunReport | Interrupted:
        self.rows = rows
        self.claims.append(claim)
        try:
            if self.begins:
                await jobs.advance(claim.job.job_id, fence=claim.fence)
            for best in self.checkpoints:
                await keep_best(best)
            if self.during is not None:
                await self.during(claim, jobs, reins)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def execute_job(
    supervisor: ScriptedSupervisor,
    *,
    jobs: MemoryJobStore | None = None,
    artifacts: MemoryArtifactStore | None = None,
    create: bool = True,
    leaving: asyncio.Event | None = None,
    patience: Patience = HASTY,
    **times: float,
) -> tuple[MemoryJobStore, MemoryArtifactStore]:
    """Submit a job, unless there is one, and answer one ring."""
    jobs = jobs or MemoryJobStore()
    artifacts = artifacts or MemoryArtifactStore()
    if create:
        await jobs.create(new_job())
        await artifacts.put(DATASET, rows_json(4))
    times = {"lease_seconds": 30.0, "heartbeat_seconds": 0.01, **times}
    await execute(
        owner="w1",
        jobs=jobs,
        artifacts=artifacts,
        supervisor=supervisor,
        secret_key=SECRET_KEY,
        leaving=leaving,
        patience=patience,
        **times,
    )
    return jobs, artifacts


async def stored_result(jobs: MemoryJobStore, artifacts: MemoryArtifactStore) -> StoredResult:
    """Return the result that a reader gets."""
    job = await jobs.get(JOB_ID)
    data = await read_signed(job, RESULT, artifacts=artifacts, secret_key=SECRET_KEY)
    return StoredResult.model_validate_json(data)


class NoArtifacts(MemoryArtifactStore):
    """Has rows, and takes nothing else."""

    async def put(self, path: str, data: bytes) -> None:
        if path != DATASET:
            raise StoreUnavailableError("artifact store")
        await super().put(path, data)
