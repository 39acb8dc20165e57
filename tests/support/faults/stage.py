"""A stage for faults: a store, artifacts, a provider, and as many workers, proxies and APIs as are wanted."""

import asyncio
import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import uuid_utils

from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job, NewJob, Wish
from dspy_service.domain.spec import ColumnMapping, RunRequest
from dspy_service.up.binding import free_port
from dspy_service.up.commands import api_command
from dspy_service.usecases.control_job import retry
from dspy_service.usecases.read_events import read_events
from dspy_service.usecases.submit import encode_rows
from tests.support.faults.proxy import Catch, Moment, TcpProxy
from tests.support.faults.store_process import StoreProcess
from tests.support.faults.verdict import Judge, traces_of_work
from tests.support.faults.worker_process import WorkerProcess
from tests.support.openai_server import Body, OpenAIServer, Reply, demo_learner
from tests.support.payloads import ticket_request, ticket_rows
from tests.support.platforms import Started, plain_environment, started
from tests.support.waiting import until

LEASE_SECONDS: Final = 2.0
HEARTBEAT_SECONDS: Final = 0.25
HAND_BACK_SECONDS: Final = 2.0
LEFT_SECONDS: Final = 10.0
READY_SECONDS: Final = 90.0  # two cores, shared with whatever else the machine does
SECRET_KEY: Final = "a key that the workers of this stage share"  # noqa: S105  # of a test


@dataclass
class Stage:
    """Everything that a test of faults has to do with. What it starts, it ends."""

    folder: Path
    store: StoreProcess
    provider: OpenAIServer
    jobs: RedisJobStore
    artifacts: FolderArtifactStore
    belongings: ExitStack
    workers: list[WorkerProcess] = field(default_factory=list)
    apis: list[Started] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    retries: Counter[str] = field(default_factory=Counter)
    max_losses: int = 3
    """What the workers are set to."""

    def settings(self, through: TcpProxy | None = None, **changes: str) -> dict[str, str]:
        """Return what the roles of this stage share; names go without the prefix."""
        return {
            "REDIS_URL": self.store.url if through is None else through.url,
            "DATA_DIR": str(self.folder / "data"),
            "ARTIFACTS_URL": str(self.folder / "artifacts"),
            "SECRET_KEY": SECRET_KEY,
            "SANDBOX_MIN_LEVEL": "L1",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
            "HAND_BACK_SECONDS": str(HAND_BACK_SECONDS),
            "MAX_LOSSES": str(self.max_losses),
            **changes,
        }

    def proxy(self) -> TcpProxy:
        """Put a new way to the store between."""
        return self.belongings.enter_context(TcpProxy(self.store.socket_path))

    async def worker(
        self, *, slots: int = 1, through: TcpProxy | None = None, python_path: str = "", **settings: str
    ) -> WorkerProcess:
        """Start a worker and wait until it takes jobs; names of ``settings`` go without the prefix."""
        ours = self.settings(through, **settings)
        worker = WorkerProcess.start(ours, self.folder, slots=slots, way=through, python_path=python_path)
        self.belongings.callback(worker.end)
        self.workers.append(worker)

        async def announced() -> bool:
            assert worker.is_running, worker.output
            return any(worker.holds(live.worker_id) for live in await self.jobs.live_workers())

        await self._until(announced, READY_SECONDS)
        return worker

    async def two_workers(self, **settings: str) -> None:
        """Start two workers of one slot, and wait until both take jobs."""
        await asyncio.gather(*(self.worker(slots=1, through=None, python_path="", **settings) for _ in range(2)))

    async def crew(self, count: int = 2) -> list[WorkerProcess]:
        """Return so many workers of one slot, each with a way of its own to the store; start those that are missing."""
        crew = [worker for worker in self.workers if worker.is_running]
        missing = (self.worker(through=self.proxy()) for _ in range(count - len(crew)))
        return crew + await asyncio.gather(*missing)

    def catch(self, verb: str, moment: Moment) -> Catch:
        """Catch the next worker of the crew that comes to that step: there it stays."""
        catch = Catch(verb, moment)
        for worker in self.workers:
            if worker.is_running and worker.way is not None:
                worker.way.catch(catch)
        return catch

    async def caught(self, catch: Catch) -> WorkerProcess:
        """Wait until one is caught, and return it."""
        await self._until(lambda: asyncio.to_thread(catch.reached.wait, 0.1), 60)
        return next(worker for worker in self.workers if worker.way is not None and worker.way.has_met(catch))

    async def api(self, *, through: TcpProxy | None = None, **settings: str) -> Started:
        """Start the HTTP API and wait until it listens."""
        port = free_port("127.0.0.1")
        ours = {f"DSPY_SERVICE_{name}": value for name, value in self.settings(through, **settings).items()}
        command = api_command("127.0.0.1", port, log_level="warning")
        program = self.belongings.enter_context(started(command, plain_environment(**ours), port=port))
        self.apis.append(program)
        await self._until(lambda: asyncio.to_thread(_listens, program), READY_SECONDS)
        return program

    async def holder(self, job_id: str) -> WorkerProcess:
        """Return the worker that has the job."""
        owner = (await self.job(job_id)).owner
        return next(worker for worker in self.workers if worker.holds(owner))

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
        self.submitted.append(job.job_id)
        return job.job_id

    async def retry(self, job_id: str) -> Job:
        """Open a failed job again."""
        self.retries[job_id] += 1
        return await retry(
            job_id, tenant="local", jobs=self.jobs, artifacts=self.artifacts, secret_key=SECRET_KEY.encode()
        )

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
        """Wait until the record is so, and return it; fail with the workers' logs when it never is."""
        seen: list[Job] = []

        async def holds() -> bool:
            seen[:] = [await self.job(job_id)]
            return condition(seen[0])

        await self._until(holds, seconds, about=lambda: f"{seen}")
        return seen[0]

    async def until_ended(self, job_id: str, *, seconds: float = 90.0) -> Job:
        """Wait until the job has ended and stands in its last place."""
        return await self.until(
            job_id, lambda job: job.status.is_terminal and job.archived_seq == job.last_seq, seconds=seconds
        )

    async def until_calls(self, count: int, *, seconds: float = 60.0) -> None:
        """Wait until the provider was asked so often."""

        async def asked() -> bool:
            return len(self.provider.received) >= count

        await self._until(asked, seconds)

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

    async def violations(self) -> list[str]:
        """Return what must never be, of all jobs since ``reset`` and of all processes; when they have ended."""
        judge = Judge(self.jobs, self.artifacts, SECRET_KEY.encode(), self.max_losses, self.retries)
        return [*await judge.violations(self.submitted), *await self.leftovers()]

    async def leftovers(self) -> list[str]:
        """Return processes and entries of the store that are still there some seconds after the last job's end."""

        async def nothing_left() -> bool:
            left[:] = [f"I5: {each.command} ({each.pid})" for worker in self.workers for each in worker.orphans()]
            left.extend(await traces_of_work(self.store.url))
            return not left

        left: list[str] = []
        with contextlib.suppress(TimeoutError):
            await until(nothing_left, seconds=LEFT_SECONDS)
        return left

    async def reset(self, *, call_seconds: float) -> None:
        """Forget earlier jobs and calls; what a test that failed has left is cancelled."""
        for job_id in self.submitted:
            if not (await self.job(job_id)).status.is_terminal:
                await self.jobs.wish(job_id, Wish.CANCEL)
                await self.until_ended(job_id)
        self.submitted.clear()
        self.retries.clear()
        self.provider.received.clear()
        self.provider.script = slow_learner(call_seconds)

    def logs(self, *, last_chars: int = 6000) -> str:
        """Return what workers and APIs printed, of each the end."""
        printed = {f"worker {worker.pid}": worker.output for worker in self.workers}
        printed |= {f"API {api.process.pid}": api.output for api in self.apis}
        return "\n".join(f"--- {name}\n{output[-last_chars:]}" for name, output in printed.items())

    async def _until(
        self, condition: Callable[[], Awaitable[object]], seconds: float, *, about: Callable[[], str] = str
    ) -> None:
        try:
            await until(condition, seconds=seconds)
        except TimeoutError:
            raise AssertionError(f"{about()}\n{self.logs()}") from None


def _listens(program: Started) -> bool:
    assert program.process.poll() is None, program.output
    try:
        answer = httpx.get(f"{program.base_url}/health/live", trust_env=False, timeout=2)
    except httpx.TransportError:
        return False
    return answer.status_code == httpx.codes.OK


def slow_learner(seconds: float) -> Callable[[Body], Reply]:
    """Answer as the demo model does, after a while."""
    return demo_learner(delay_seconds=seconds)


@asynccontextmanager
async def stage(folder: Path, *, call_seconds: float = 0.1) -> AsyncIterator[Stage]:
    """Open a stage, and end everything that it started."""
    with ExitStack() as belongings:
        store = belongings.enter_context(StoreProcess(folder / "store"))
        provider = belongings.enter_context(OpenAIServer(slow_learner(call_seconds)))
        jobs = RedisJobStore(store.url)
        try:
            yield Stage(folder, store, provider, jobs, FolderArtifactStore(folder / "artifacts"), belongings)
        finally:
            await jobs.aclose()
