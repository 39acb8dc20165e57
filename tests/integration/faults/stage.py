"""A stage for faults: a store, artifacts, an OpenAI-compatible provider and as many workers as a test starts."""

import asyncio
import hashlib
import itertools
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uuid_utils

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job, JobStatus, NewJob
from dspy_service.domain.spec import ColumnMapping, RunRequest
from dspy_service.usecases.read_events import read_events
from dspy_service.usecases.submit import encode_rows
from tests.integration.faults.worker import Worker, end_worker, start_worker
from tests.support.openai_server import Body, OpenAIServer, Reply, demo_learner
from tests.support.payloads import ticket_request, ticket_rows
from tests.support.processes import wait_until
from tests.support.waiting import until

LEASE_SECONDS = 2.0
HEARTBEAT_SECONDS = 0.25
READY_SECONDS = 60.0  # two cores, shared with whatever else the machine does
ON_LINUX = sys.platform == "linux"
SECRET_KEY = "a key that the workers of this stage share"  # noqa: S105  # of a test


@dataclass
class Stage:
    """Everything that a test of faults has to do with."""

    folder: Path
    store: EmbeddedValkey
    provider: OpenAIServer
    jobs: RedisJobStore
    artifacts: FolderArtifactStore
    workers: list[Worker] = field(default_factory=list)

    async def worker(self, *, slots: int = 1, **settings: str) -> Worker:
        """Start a worker and wait until it takes jobs; names of ``settings`` go without the prefix."""
        ours = {
            "REDIS_URL": self.store.url,
            "DATA_DIR": str(self.folder / "data"),
            "ARTIFACTS_URL": str(self.folder / "artifacts"),
            "SECRET_KEY": SECRET_KEY,
            "SANDBOX_MIN_LEVEL": "L1",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
            "HAND_BACK_SECONDS": "2",
            **settings,
        }
        variables = {f"DSPY_SERVICE_{name}": value for name, value in ours.items()}
        worker = start_worker(slots, variables, self.folder)
        self.workers.append(worker)

        async def announced() -> bool:
            assert worker.process.poll() is None, worker.output
            return any(f":{worker.pid}:" in live.worker_id for live in await self.jobs.live_workers())

        try:
            await until(announced, seconds=READY_SECONDS)
        except TimeoutError:
            raise AssertionError(self.logs()) from None
        return worker

    async def two_workers(self, **settings: str) -> None:
        """Start two workers of one slot, and wait until both take jobs."""
        await asyncio.gather(self.worker(**settings), self.worker(**settings))

    async def holder(self, job_id: str) -> Worker:
        """Return the worker that has the job."""
        owner = (await self.job(job_id)).owner or ""
        return next(worker for worker in self.workers if f":{worker.pid}:" in owner)

    async def submit(self, *, tenant: str = "local", **changes: Any) -> str:  # noqa: ANN401  # JSON
        """Record a job as the API would, and return its id."""
        request = RunRequest.model_validate(self.request(**changes))
        assert isinstance(request.column_mapping, ColumnMapping)
        rows = encode_rows(request.dataset)
        path = dataset_path(tenant, hashlib.sha256(rows).hexdigest())
        await self.artifacts.put_new(path, rows)
        new = NewJob(
            job_id=str(uuid_utils.uuid7()),
            tenant=tenant,
            spec=request.settle(request.column_mapping, seed=request.seed or 7),
            dataset_rows=len(request.dataset),
            dataset_path=path,
        )
        job, _ = await self.jobs.create(new)
        return job.job_id

    def request(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        """Return a body for ``POST /run`` with about a hundred calls of a slow model."""
        body: dict[str, Any] = {
            "optimizer_name": "bootstrap_few_shot_with_random_search",
            "optimizer_kwargs": {"num_candidate_programs": 8, "max_bootstrapped_demos": 2, "num_threads": 4},
            "model_config": {"name": "openai/task", "base_url": self.provider.base_url},
        }
        return ticket_request(ticket_rows(24), **{**body, **changes})

    async def job(self, job_id: str) -> Job:
        """Return the record, once the store answers."""
        async with asyncio.timeout(20):
            while True:
                try:
                    return await self.jobs.get(job_id)
                except StoreUnavailableError:
                    await asyncio.sleep(0.05)

    async def until(self, job_id: str, condition: Callable[[Job], bool], *, seconds: float = 60.0) -> Job:
        """Wait until the record is so; fail with the workers' logs when it never is."""

        async def holds() -> bool:
            return condition(await self.job(job_id))

        try:
            await until(holds, seconds=seconds)
        except TimeoutError:
            raise AssertionError(f"{await self.job(job_id)!r}\n{self.logs()}") from None
        return await self.job(job_id)

    async def until_ended(self, job_id: str, *, seconds: float = 90.0) -> Job:
        """Wait until the job has ended and stands in its last place."""
        return await self.until(
            job_id, lambda job: job.status.is_terminal and job.archived_seq == job.last_seq, seconds=seconds
        )

    async def until_calls(self, count: int, *, seconds: float = 60.0) -> None:
        """Wait until the provider was asked so often."""

        async def asked() -> bool:
            return len(self.provider.received) >= count

        try:
            await until(asked, seconds=seconds)
        except TimeoutError:
            raise AssertionError(self.logs()) from None

    def repeated_calls(self) -> int:
        """Return how many requests the provider got more than once."""
        counts = Counter(json.dumps(request.body, sort_keys=True) for request in self.provider.received)
        return sum(counts.values()) - len(counts)

    async def events(self, job_id: str) -> list[Event]:
        """Return the whole log, wherever it stands."""
        job = await self.job(job_id)
        return await read_events(job, jobs=self.jobs, artifacts=self.artifacts, secret_key=SECRET_KEY.encode())

    async def states(self, job_id: str) -> list[str]:
        """Return the states that the log tells, in order."""
        return [str(event.data["status"]) for event in await self.events(job_id) if event.type is EventType.STATE]

    async def check_history(self, job_id: str) -> list[Event]:
        """Check what must be true of every job that has ended, and return its log.

        One end; numbers without a gap; only arrows that the state machine has; times that never go back; no event of
        an attempt after one of a later attempt.
        """
        events = await self.events(job_id)
        states = [JobStatus(state) for state in await self.states(job_id)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [state for state in states if state.is_terminal] == [states[-1]]
        assert all(before.can_become(after) for before, after in itertools.pairwise(states))
        attempts = [event.attempt for event in events]
        assert attempts == sorted(attempts)
        times = [event.timestamp for event in events]
        assert times == sorted(times)
        return events

    def kill_store(self) -> None:
        """End the store's process at once; its data stays."""
        os.kill(self.store.pid, signal.SIGKILL)
        wait_until(lambda: not self.store.running)

    def revive_store(self) -> None:
        """Start the store again on the same data and the same address."""
        self.store.revive()

    def logs(self) -> str:
        """Return what the workers printed."""
        return "\n".join(f"--- worker {worker.pid}\n{worker.output[-6000:]}" for worker in self.workers)


def slow_learner(seconds: float) -> Callable[[Body], Reply]:
    """Answer as the demo model does, after a while."""
    return demo_learner(delay_seconds=seconds)


@asynccontextmanager
async def stage(folder: Path, *, call_seconds: float = 0.1) -> AsyncIterator[Stage]:
    """Open a stage, and end everything that it started."""
    store = EmbeddedValkey.start(folder / "store")
    jobs = RedisJobStore(store.url)
    opened: Stage | None = None
    try:
        with OpenAIServer(slow_learner(call_seconds)) as provider:
            opened = Stage(folder, store, provider, jobs, FolderArtifactStore(folder / "artifacts"))
            yield opened
    finally:
        for worker in opened.workers if opened else ():
            end_worker(worker)
        await jobs.aclose()
        store.stop()
