"""Jobs with real runner processes and a real model server on loopback."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dspy_service.domain.events import EventType
from dspy_service.domain.job import JobStatus, Wish
from tests.support.claims import JOB_ID
from tests.support.openai_server import OpenAIServer, always, demo_learner, without_usage
from tests.support.processes import wait_until
from tests.support.real_runners import CANARY, RealWorker, asked, on_server

_SLOW = 30.0


@pytest.fixture
async def worker() -> AsyncIterator[RealWorker]:
    made = RealWorker(cancel_grace_seconds=1.0)
    yield made
    made.standby.close()


async def test_a_job_improves_its_program_and_leaves_an_artifact(worker: RealWorker, tmp_path: Path) -> None:
    with OpenAIServer(demo_learner()) as server:
        job = await worker.run(on_server(server))

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


async def test_every_answer_is_counted_exactly_once(worker: RealWorker) -> None:
    replies = always("[[ ## label ## ]]\nbilling\n\n[[ ## completed ## ]]")
    with OpenAIServer(replies) as server:
        await worker.run(on_server(server, optimizer_name="labeled_few_shot"))

    usage = (await worker.stored()).usage
    assert usage.total_calls == len(server.received)
    assert usage.roles["task"].completion_tokens == 11 * len(server.received)
    told = [event.data for event in await worker.events() if event.type is EventType.USAGE]
    assert told[-1]["roles"]["task"]["calls"] == usage.total_calls


async def test_a_budget_of_tokens_holds_where_the_provider_tells_none_and_the_user_is_told(worker: RealWorker) -> None:
    with OpenAIServer(without_usage(demo_learner())) as server:
        job = await worker.run(on_server(server, budget={"max_tokens": 2_000}))

    stored, events = await worker.stored(), await worker.events()
    warnings = [event.data["code"] for event in events if event.type is EventType.WARNING]
    assert job.termination_reason == "budget_exhausted"
    assert stored.usage.total_calls == stored.usage.estimated_calls == len(server.received) > 0
    assert 2_000 <= stored.usage.total_tokens < 4_000 + 8 * 400  # what was in flight comes on top
    assert warnings.count("tokens_estimated") == 1


async def test_neither_starts_nor_pauses_eat_the_running_time_of_a_job(worker: RealWorker) -> None:
    """What ``validating`` takes is more than the whole budget here."""
    slow_start = "import time\ntime.sleep(2.1)\n"
    with OpenAIServer(demo_learner(delay_seconds=0.2)) as server:
        asks = on_server(server, optimizer_name="labeled_few_shot", budget={"max_seconds": 6.0})
        await worker.submit(asks.model_copy(update={"signature_code": slow_start + asks.signature_code}))
        for count in (2, 10):  # eight threads ask at a time
            running = asyncio.create_task(worker.execute())
            await asked(server, count, during=running)
            await worker.jobs.wish(JOB_ID, Wish.PAUSE)
            paused = await running
            await worker.jobs.wish(JOB_ID, Wish.GO_ON)
        job = await worker.execute()

    states = [(event.data["status"], event.timestamp) for event in await worker.events() if event.type == "state"]
    ran = [
        (until - since).total_seconds() for (what, since), (_, until) in itertools.pairwise(states) if what == "running"
    ]
    assert (paused.status, job.status, len(ran)) == (JobStatus.PAUSED, JobStatus.SUCCESS, 3)
    assert job.termination_reason == "completed"
    assert 0 < paused.active_seconds < job.active_seconds <= sum(ran) + 0.5


async def test_a_killed_runner_fails_its_job_within_two_seconds(worker: RealWorker) -> None:
    with OpenAIServer(always("late", delay_seconds=_SLOW)) as server:
        await worker.submit(on_server(server))
        running = asyncio.create_task(worker.execute())
        await asked(server, during=running)

        killed_at = time.monotonic()
        os.kill(worker.children[0].pid, signal.SIGKILL)
        job = await running
        seconds = time.monotonic() - killed_at

    assert (job.status, job.termination_reason) == (JobStatus.FAILED, "error")
    assert "SIGKILL" in (job.message or "")
    assert (await worker.stored()).failure["kind"] == "runner_died"
    assert seconds < 2


async def test_a_cancelled_job_stops_calling_within_two_seconds(worker: RealWorker) -> None:
    with OpenAIServer(demo_learner(delay_seconds=0.1)) as server:
        await worker.submit(on_server(server))
        running = asyncio.create_task(worker.execute())
        await asked(server, during=running)

        cancelled_at = time.monotonic()
        await worker.jobs.wish(JOB_ID, Wish.CANCEL)
        job = await running
        seconds = time.monotonic() - cancelled_at
        calls = len(server.received)
        wait_until(lambda: server.in_flight == 0)  # nothing is on its way any more, so a late call would show

    assert (job.status, job.termination_reason) == (JobStatus.CANCELLED, "cancelled")
    assert seconds < 2
    assert len(server.received) == calls


_SPY = """
import os

def metric(gold, pred, trace=None):
    names = [n for n, v in os.environ.items() if "canary" in v]
    print("SPY", names)
    return 1.0
"""


async def test_no_key_is_in_the_runners_environment(worker: RealWorker) -> None:
    with OpenAIServer(demo_learner()) as server:
        await worker.run(on_server(server, metric_code=_SPY), row_count=6)

    spied = [line for line in await worker.logs() if line.startswith("SPY")]
    assert spied
    assert all(line.startswith("SPY []") for line in spied)


@pytest.mark.parametrize(
    ("body", "words"),
    [("os._exit(0)", "exit code 0"), ("os.kill(os.getpid(), 11)", "SIGSEGV")],
)
async def test_a_metric_that_ends_the_process_fails_the_job(worker: RealWorker, body: str, words: str) -> None:
    code = f"import os\n\ndef metric(gold, pred, trace=None):\n    {body}\n"
    with OpenAIServer(demo_learner()) as server:
        job = await worker.run(on_server(server, metric_code=code), row_count=6)

    assert job.status is JobStatus.FAILED
    assert words in (job.message or "")


async def test_a_wrong_metric_fails_with_the_users_own_traceback(worker: RealWorker) -> None:
    code = "def metric(gold, pred, trace=None):\n    return gold.no_such_field\n"
    with OpenAIServer(demo_learner()) as server:
        job = await worker.run(on_server(server, metric_code=code), row_count=6)

    failure = (await worker.stored()).failure
    assert job.status is JobStatus.FAILED
    assert "no_such_field" in (job.message or "")
    assert "return gold.no_such_field" in failure["traceback"]
    assert str(Path.cwd()) not in failure["traceback"]
    assert any("return gold.no_such_field" in line for line in await worker.logs())


async def test_the_next_job_finds_a_warm_runner(worker: RealWorker) -> None:
    with OpenAIServer(demo_learner()) as server:
        worker.standby.refill()
        await worker.run(on_server(server), row_count=6)

    assert len(worker.children) == 2
    assert worker.children[1].is_alive()
    assert not worker.children[0].is_alive()
