"""A worker without Celery: ``execute`` over real runner processes, a real broker, and stores in memory."""

import asyncio
import hashlib
import os
from typing import Any

from dspy_service.adapters.memory.artifacts import MemoryArtifactStore
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job
from dspy_service.domain.result import StoredResult
from dspy_service.domain.spec import JobSpec, ModelSettings, SplitFractions
from dspy_service.domain.workers import SandboxLevel
from dspy_service.usecases.execute import execute
from tests.support.claims import JOB_ID, new_job
from tests.support.lm_calls import rows_json, spec
from tests.support.openai_server import OpenAIServer
from tests.support.processes import wait_until
from tests.support.signed import SECRET_KEY
from workers.lm.doors import BrokerDoors
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.sandbox.launch import Child, launch
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits

CANARY = "sk-canary-9876543210"


class RealWorker:
    """A supervisor with real runners, and the stores of one job.

    Args:
        level: Of its runners' confinement.
        beside: A worker whose stores it shares; None: it has its own.
        limits: Otherwise than usual.
    """

    def __init__(self, *, level: SandboxLevel = "L1", beside: "RealWorker | None" = None, **limits: float) -> None:
        self._level = level
        self.children: list[Child] = []
        self.jobs = MemoryJobStore() if beside is None else beside.jobs
        self.artifacts = MemoryArtifactStore() if beside is None else beside.artifacts
        self.standby = Standby(self._launch)
        self.leaving = asyncio.Event()
        registry = ModelRegistry(read_provider_environment({"OPENAI_API_KEY": CANARY}))
        self.supervisor = JobSupervisor(
            standby=self.standby,
            level=level,
            doors=BrokerDoors(registry, artifacts=self.artifacts, secret_key=SECRET_KEY),
            catalogue=Registry(),
            artifacts=self.artifacts,
            secret_key=SECRET_KEY,
            limits=SupervisionLimits(**limits),
        )

    def _launch(self) -> Child:
        self.children.append(launch(self._level, environ={**os.environ, "OPENAI_API_KEY": CANARY}))
        return self.children[-1]

    async def submit(self, job_spec: JobSpec, *, row_count: int = 40) -> None:
        rows = rows_json(row_count)
        path = dataset_path("local", hashlib.sha256(rows).hexdigest())
        await self.artifacts.put(path, rows)
        await self.jobs.create(new_job(job_spec, dataset=path))

    async def run(self, job_spec: JobSpec, *, row_count: int = 40) -> Job:
        await self.submit(job_spec, row_count=row_count)
        return await self.execute()

    async def execute(self, *, lease_seconds: float = 15.0) -> Job:
        await execute(
            owner="w1",
            lease_seconds=lease_seconds,
            heartbeat_seconds=0.2,
            jobs=self.jobs,
            artifacts=self.artifacts,
            supervisor=self.supervisor,
            secret_key=SECRET_KEY,
            leaving=self.leaving,
        )
        return await self.jobs.get(JOB_ID)

    async def stored(self) -> StoredResult:
        return StoredResult.model_validate_json(await self.artifacts.get(f"{JOB_ID}/result.json"))

    async def events(self) -> list[Event]:
        lines = (await self.artifacts.get(f"{JOB_ID}/events.jsonl")).splitlines()
        return [Event.model_validate_json(line) for line in lines]

    async def logs(self) -> list[str]:
        return [str(event.data["message"]) for event in await self.events() if event.type is EventType.LOG]


def on_server(server: OpenAIServer, **changes: object) -> JobSpec:
    """A job whose model is a server on loopback."""
    model = ModelSettings(name="openai/test", base_url=server.base_url, temperature=0.0, max_tokens=400)
    return spec(model, **{"split_fractions": SplitFractions(train=0.5, val=0.0, test=0.5), **changes})


async def asked(server: OpenAIServer, count: int = 1, *, during: asyncio.Task[Any] | None = None) -> None:
    """Wait until the server has received so many calls, or fail as the job that should make them did."""

    def is_enough() -> bool:
        return len(server.received) >= count or (during is not None and during.done())

    await asyncio.to_thread(wait_until, is_enough, seconds=60)
    if len(server.received) < count and during is not None:
        raise AssertionError(f"The job made {len(server.received)} calls only: {during.result()}")
