"""Serving workers as an operator starts them, a deployed program, and runs of it; no API."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import dspy
import redis.asyncio as redis

from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.adapters.redis.conversations import RedisConversationStore
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.adapters.redis.key_names import run_key
from dspy_service.adapters.redis.programs import RedisProgramStore
from dspy_service.adapters.redis.runs import RedisRunStore
from dspy_service.domain.artifact_paths import METADATA, PROGRAM_STATE
from dspy_service.domain.serving.program import NewVersion
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import RunEvent
from dspy_service.domain.spec import ModelSettings
from dspy_service.up.commands import worker_command, worker_environment
from dspy_service.usecases.serving.version_files import write_version_files
from tests.support.faults.lifetimes import Lifetime, children_of
from tests.support.platforms import ROOT, plain_environment
from tests.support.run_samples import a_new_run, started
from tests.support.served import version_of
from tests.support.waiting import until
from workers.runner.artifact import state_json

LEASE_SECONDS: Final = 2.0
DRAIN_SECONDS: Final = 2.0
READY_SECONDS: Final = 90.0  # two cores, shared with whatever else the machine does
SECRET: Final = "a key that all roles of this stage share"  # noqa: S105  # of a test


@dataclass
class ServingProcess:
    """A Celery worker that only serves: a parent and its pool children."""

    process: "subprocess.Popen[bytes]"
    log: IO[bytes]

    @property
    def output(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def children(self) -> set[Lifetime]:
        """Return the pool children."""
        return {each for each in children_of(self.process.pid) if "celery" in each.command}

    def holds(self, worker_id: str) -> bool:
        return f":{self.process.pid}:" in worker_id

    def end(self) -> None:
        """Kill it; its pool children die with it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()


@dataclass
class ServingStage:
    """What it starts, it ends."""

    redis_url: str
    folder: Path
    runs: RedisRunStore
    programs: RedisProgramStore
    jobs: RedisJobStore
    conversations: RedisConversationStore
    belongings: ExitStack
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: list[ServingProcess] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What every role of this stage runs with."""
        settings = {
            "REDIS_URL": self.redis_url,
            "ARTIFACTS_URL": str(self.folder / "artifacts"),
            "DATA_DIR": str(self.folder / "data"),
            "SECRET_KEY": SECRET,
            "SANDBOX_MIN_LEVEL": "L1",
            "RUN_LEASE_SECONDS": str(LEASE_SECONDS),
            "HAND_BACK_SECONDS": "2",
            "SERVING_DRAIN_SECONDS": str(DRAIN_SECONDS),
            **self.settings,
        }
        return plain_environment(**{f"DSPY_SERVICE_{name}": value for name, value in settings.items()})

    async def worker(self, *, processes: int = 1, queues: tuple[str, ...] = ("serving",)) -> ServingProcess:
        """Start a worker and wait until it has announced itself."""
        log = (self.folder / f"worker-{len(self.workers)}.log").open("w+b")
        process = subprocess.Popen(  # noqa: ASYNC220, S603  # our own program, and nothing else goes on meanwhile
            worker_command(queues, processes, log_level="info"),
            cwd=ROOT,
            env=worker_environment(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        worker = ServingProcess(process, log)
        self.belongings.callback(worker.end)
        self.workers.append(worker)

        async def announced() -> bool:
            assert process.poll() is None, worker.output
            return any(worker.holds(live.worker_id) for live in await self.jobs.live_workers())

        await until(announced, seconds=READY_SECONDS)
        return worker

    async def deploy(
        self,
        lm: ModelSettings,
        *,
        name: str = "qa",
        tenant: str = "local",
        signature: str = "question -> answer",
        **changes: object,
    ) -> None:
        """Serve a signature as a program of a tenant."""
        program = dspy.Predict(signature)
        named = {"tenant": tenant, "program": name, "artifact_folder": f"programs/{tenant}/{name}/1"}
        version = version_of(program, lm, **changes).model_copy(update=named)
        artifacts = FolderArtifactStore(self.folder / "artifacts")
        files = {PROGRAM_STATE: state_json(program), METADATA: b"{}"}
        await write_version_files(version, files, artifacts=artifacts, secret_key=SECRET.encode())
        new = {name: value for name, value in dict(version).items() if name in NewVersion.model_fields}
        await self.programs.add_version(NewVersion(**new))

    async def ask(self, run_id: str | None = None, **changes: object) -> str:
        """Start a run and return its id."""
        new = a_new_run(run_id=run_id).model_copy(update={"inputs": {"question": "Why?"}, **changes})
        await self.runs.create(new, start=started(new))
        return new.run_id

    async def ended(self, run_id: str, *, seconds: float = 20.0) -> Run:
        """Wait for the end of a run."""

        async def has_ended() -> bool:
            return (await self.runs.get(run_id)).status.is_terminal

        await until(has_ended, seconds=seconds)
        return await self.runs.get(run_id)

    async def writes(self, run_id: str, *, seconds: float = 20.0) -> None:
        """Wait until some of the answer can be read."""

        async def has_text() -> bool:
            return any(event.fact.type == "token" for event in await self.runs.events(run_id))

        await until(has_text, seconds=seconds)

    async def owner_of(self, run_id: str) -> str:
        """Return which process has claimed a run, also after its end; empty when that was not its end."""
        async with redis.Redis.from_url(self.redis_url, decode_responses=True) as client:
            return str(await client.hget(run_key(run_id), "owner") or "")

    async def events(self, run_id: str) -> list[RunEvent]:
        return await self.runs.events(run_id)


@asynccontextmanager
async def serving_stage(redis_url: str, folder: Path, **settings: str) -> AsyncGenerator[ServingStage, None]:
    """Set the stage on an empty store; settings are named without their prefix."""
    runs, programs, jobs = RedisRunStore(redis_url), RedisProgramStore(redis_url), RedisJobStore(redis_url)
    conversations = RedisConversationStore(redis_url)
    with ExitStack() as belongings:
        try:
            yield ServingStage(redis_url, folder, runs, programs, jobs, conversations, belongings, settings)
        finally:
            for store in (runs, programs, jobs, conversations):
                await store.aclose()


def signal_to(process: ServingProcess, number: signal.Signals) -> None:
    """Send a signal to the worker's parent alone."""
    process.process.send_signal(number)


async def exit_of(process: ServingProcess, *, seconds: float = 30.0) -> int:
    """Wait for the worker's end and return its exit code."""
    return await asyncio.to_thread(process.process.wait, seconds)


def text_of(events: list[RunEvent]) -> str:
    """Return the answer as a reader of these events has it."""
    text = ""
    for event in events:
        if event.fact.type == "replace":
            text = event.fact.text
        elif event.fact.type == "token":
            assert event.fact.offset == len(text)
            text += event.fact.text
    return text


def numbers(events: list[RunEvent]) -> list[int]:
    return [event.seq for event in events]
