"""``execute`` over in-memory stores and a scripted supervisor."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dspy_service.adapters.memory.artifacts import MemoryArtifactStore
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.job import Claim, JobStatus
from dspy_service.domain.result import RoleUsage, RunnerResult, StoredResult, Usage
from dspy_service.domain.spec import Row
from dspy_service.domain.supervision import RunReport
from dspy_service.domain.workers import SandboxLevel
from dspy_service.ports import JobStore
from dspy_service.usecases.execute import execute
from tests.support.claims import DATASET, JOB_ID, new_job
from tests.support.lm_calls import rows_json
from tests.support.program_files import program_files
from tests.support.signed import SECRET_KEY

During = Callable[[Claim, Any, asyncio.Event], Awaitable[None]]

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


class ScriptedSupervisor:
    """Returns or raises what it is told to, after whatever ``during`` does."""

    sandbox_level: SandboxLevel = "L1"

    def __init__(self, outcome: RunReport | Exception = SUCCESS, during: During | None = None) -> None:
        self.outcome = outcome
        self.during = during
        self.rows: Sequence[Row] | None = None
        self.cancelled = False

    async def run(self, claim: Claim, rows: Sequence[Row], *, jobs: JobStore, cancel: asyncio.Event) -> RunReport:
        self.rows = rows
        try:
            await jobs.advance(claim.job.job_id, fence=claim.fence)
            if self.during is not None:
                await self.during(claim, jobs, cancel)
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
    **times: float,
) -> tuple[MemoryJobStore, MemoryArtifactStore]:
    jobs = jobs or MemoryJobStore()
    artifacts = artifacts or MemoryArtifactStore()
    if create:
        await jobs.create(new_job())
        await artifacts.put(DATASET, rows_json(4))
    times = {"lease_seconds": 30.0, "heartbeat_seconds": 0.01, **times}
    await execute(
        JOB_ID, owner="w1", jobs=jobs, artifacts=artifacts, supervisor=supervisor, secret_key=SECRET_KEY, **times
    )
    return jobs, artifacts


async def stored_result(artifacts: MemoryArtifactStore) -> StoredResult:
    return StoredResult.model_validate_json(await artifacts.get(f"{JOB_ID}/result.json"))
