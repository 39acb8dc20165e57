"""Jobs with real runner processes and a real model server on loopback."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspy_service.adapters.memory.artifacts import MemoryArtifactStore
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job, JobStatus, Wish
from dspy_service.domain.result import StoredResult
from dspy_service.domain.spec import JobSpec, ModelSettings, SplitFractions
from dspy_service.usecases.execute import execute
from tests.support.claims import JOB_ID, new_job
from tests.support.lm_calls import rows_json, spec
from tests.support.openai_server import OpenAIServer, always, demo_learner
from tests.support.processes import is_alive, wait_until
from tests.support.signed import SECRET_KEY
from workers.lm.doors import BrokerDoors
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.sandbox.launch import Child, launch
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits

CANARY = "sk-canary-9876543210"
_SLOW = 30.0


class Worker:
    """A supervisor with real runners, and the stores of one job."""

    def __init__(self, **limits: float) -> None:
        self.children = []
        self.jobs, self.artifacts = MemoryJobStore(), MemoryArtifactStore()
        self.standby = Standby(self._launch)
        registry = ModelRegistry(read_provider_environment({"OPENAI_API_KEY": CANARY}))
        self.supervisor = JobSupervisor(
            standby=self.standby,
            level="L1",
            doors=BrokerDoors(registry),
            catalogue=Registry(),
            limits=SupervisionLimits(**limits),
        )

    def _launch(self) -> Child:
        self.children.append(launch("L1", environ={**os.environ, "OPENAI_API_KEY": CANARY}))
        return self.children[-1]

    async def submit(self, job_spec: JobSpec, *, row_count: int = 40) -> None:
        rows = rows_json(row_count)
        path = dataset_path("local", hashlib.sha256(rows).hexdigest())
        await self.artifacts.put(path, rows)
        await self.jobs.create(new_job(job_spec, dataset=path))

    async def run(self, job_spec: JobSpec, *, row_count: int = 40) -> Job:
        await self.submit(job_spec, row_count=row_count)
        return await self.execute()

    async def execute(self) -> Job:
        await execute(
            JOB_ID,
            owner="w1",
            lease_seconds=15.0,
            heartbeat_seconds=0.2,
            jobs=self.jobs,
            artifacts=self.artifacts,
            supervisor=self.supervisor,
            secret_key=SECRET_KEY,
        )
        return await self.jobs.get(JOB_ID)

    async def stored(self) -> StoredResult:
        return StoredResult.model_validate_json(await self.artifacts.get(f"{JOB_ID}/result.json"))

    async def events(self) -> list[Event]:
        lines = (await self.artifacts.get(f"{JOB_ID}/events.jsonl")).splitlines()
        return [Event.model_validate_json(line) for line in lines]

    async def logs(self) -> list[str]:
        return [str(event.data["message"]) for event in await self.events() if event.type is EventType.LOG]


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(cancel_grace_seconds=1.0)
    yield made
    made.standby.close()


def _on(server: OpenAIServer, **changes: object) -> JobSpec:
    model = ModelSettings(name="openai/test", base_url=server.base_url, temperature=0.0, max_tokens=400)
    return spec(model, split_fractions=SplitFractions(train=0.5, val=0.0, test=0.5), **changes)


async def _asked(server: OpenAIServer) -> None:
    await asyncio.to_thread(wait_until, lambda: len(server.received) > 0)


async def test_a_job_improves_its_program_and_leaves_an_artifact(worker: Worker, tmp_path: Path) -> None:
    with OpenAIServer(demo_learner()) as server:
        job = await worker.run(_on(server))

    stored = await worker.stored()
    assert job.status is JobStatus.SUCCESS
    assert stored.optimized_test_metric > stored.baseline_test_metric
    assert stored.split_counts.train == stored.split_counts.test == 20
    assert stored.usage.roles["task"].calls == len(server.received)
    assert CANARY not in repr(server.received)
    for name in ("program.pkl", "metadata.json"):
        (tmp_path / name).write_bytes(await worker.artifacts.get(f"{JOB_ID}/{name}"))
    loaded = _load_with_plain_dspy(tmp_path)
    assert loaded == ["text", "label"]


def _load_with_plain_dspy(folder: Path) -> list[str]:
    """Load the folder in a process that cannot import anything of ours."""
    code = textwrap.dedent(
        """
        import json, sys, dspy
        program = dspy.load(sys.argv[1], allow_pickle=True)
        signature = program.predictors()[0].signature
        assert "workers" not in sys.modules and "dspy_service" not in sys.modules
        print(json.dumps([*signature.input_fields, *signature.output_fields]))
        """
    )
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-I", "-c", code, str(folder)], capture_output=True, text=True, check=True, cwd=folder
    )
    return json.loads(done.stdout)


async def test_every_answer_is_counted_exactly_once(worker: Worker) -> None:
    replies = always("[[ ## label ## ]]\nbilling\n\n[[ ## completed ## ]]")
    with OpenAIServer(replies) as server:
        await worker.run(_on(server, optimizer_name="labeled_few_shot"))

    usage = (await worker.stored()).usage
    assert usage.total_calls == len(server.received)
    assert usage.roles["task"].completion_tokens == 11 * len(server.received)
    told = [event.data for event in await worker.events() if event.type is EventType.USAGE]
    assert told[-1]["roles"]["task"]["calls"] == usage.total_calls


async def test_a_killed_runner_fails_its_job_within_two_seconds(worker: Worker) -> None:
    with OpenAIServer(always("late", delay_seconds=_SLOW)) as server:
        await worker.submit(_on(server))
        running = asyncio.create_task(worker.execute())
        await _asked(server)

        killed_at = time.monotonic()
        os.kill(worker.children[0].pid, signal.SIGKILL)
        job = await running
        seconds = time.monotonic() - killed_at

    assert (job.status, job.termination_reason) == (JobStatus.FAILED, "error")
    assert "SIGKILL" in (job.message or "")
    assert (await worker.stored()).failure["kind"] == "runner_died"
    assert seconds < 2


async def test_a_cancelled_job_stops_calling_within_two_seconds(worker: Worker) -> None:
    with OpenAIServer(demo_learner(delay_seconds=0.1)) as server:
        await worker.submit(_on(server))
        running = asyncio.create_task(worker.execute())
        await _asked(server)

        cancelled_at = time.monotonic()
        worker.jobs.set_wish(JOB_ID, Wish.CANCEL)
        job = await running
        seconds = time.monotonic() - cancelled_at
        asked = len(server.received)
        wait_until(lambda: server.in_flight == 0)  # nothing is on its way any more, so a late call would show

    assert (job.status, job.termination_reason) == (JobStatus.CANCELLED, "cancelled")
    assert seconds < 2
    assert len(server.received) == asked


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
async def test_a_runner_does_not_outlive_its_supervisor() -> None:
    with OpenAIServer(always("late", delay_seconds=_SLOW)) as server:
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.slow_supervisor", server.base_url, stdout=subprocess.PIPE
        )
        try:
            runner = int(await supervisor.stdout.readline())
            await _asked(server)
            assert is_alive(runner)
        finally:
            supervisor.kill()
            await supervisor.wait()

        await asyncio.to_thread(wait_until, lambda: not is_alive(runner), seconds=2)


_SPY = """
import os

def metric(gold, pred, trace=None):
    names = [n for n, v in os.environ.items() if "canary" in v]
    print("SPY", names)
    return 1.0
"""


async def test_no_key_is_in_the_runners_environment(worker: Worker) -> None:
    with OpenAIServer(demo_learner()) as server:
        await worker.run(_on(server, metric_code=_SPY), row_count=6)

    spied = [line for line in await worker.logs() if line.startswith("SPY")]
    assert spied
    assert all(line.startswith("SPY []") for line in spied)


@pytest.mark.parametrize(
    ("body", "words"),
    [("os._exit(0)", "exit code 0"), ("os.kill(os.getpid(), 11)", "SIGSEGV")],
)
async def test_a_metric_that_ends_the_process_fails_the_job(worker: Worker, body: str, words: str) -> None:
    code = f"import os\n\ndef metric(gold, pred, trace=None):\n    {body}\n"
    with OpenAIServer(demo_learner()) as server:
        job = await worker.run(_on(server, metric_code=code), row_count=6)

    assert job.status is JobStatus.FAILED
    assert words in (job.message or "")


async def test_a_wrong_metric_fails_with_the_users_own_traceback(worker: Worker) -> None:
    code = "def metric(gold, pred, trace=None):\n    return gold.no_such_field\n"
    with OpenAIServer(demo_learner()) as server:
        job = await worker.run(_on(server, metric_code=code), row_count=6)

    failure = (await worker.stored()).failure
    assert job.status is JobStatus.FAILED
    assert "no_such_field" in (job.message or "")
    assert "return gold.no_such_field" in failure["traceback"]
    assert str(Path.cwd()) not in failure["traceback"]
    assert any("return gold.no_such_field" in line for line in await worker.logs())


async def test_the_next_job_finds_a_warm_runner(worker: Worker) -> None:
    with OpenAIServer(demo_learner()) as server:
        worker.standby.refill()
        await worker.run(_on(server), row_count=6)

    assert len(worker.children) == 2
    assert worker.children[1].is_alive()
    assert not worker.children[0].is_alive()
