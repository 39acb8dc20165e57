"""Real runners that are held, paused, handed back and cancelled, with a real broker between them and a model server."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dspy_service.domain.job import JobStatus, Wish
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.supervision import Halt, Interrupted, Reins
from dspy_service.domain.workers import SandboxLevel
from tests.support.claims import JOB_ID, claimed
from tests.support.lm_calls import rows
from tests.support.openai_server import Body, OpenAIServer, Reply, always, demo_learner
from tests.support.processes import is_alive, wait_until
from tests.support.real_runners import RealWorker, asked, on_server
from tests.support.supervised import Kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="states stand in /proc, and death signals are Linux's")

LEVELS: list[SandboxLevel] = ["L1", "L2"]
_SLOW_SECONDS = 30.0
_CALL_SECONDS = 0.1
_MOST_SECONDS_TO_THE_LAST_CALL = 1.0


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


async def _until(pid: int, state: str) -> None:
    await asyncio.to_thread(wait_until, lambda: _state(pid) == state, seconds=5)


@pytest.fixture
async def worker() -> AsyncIterator[RealWorker]:
    made = RealWorker()
    yield made
    made.standby.close()


async def _attempt(worker: RealWorker, job_spec: JobSpec, reins: Reins) -> asyncio.Task[object]:
    """Begin an attempt whose reins the test holds."""
    jobs, claim = await claimed(job_spec)
    return asyncio.create_task(worker.supervisor.run(claim, rows(40), jobs=jobs, reins=reins, keep_best=Kept()))


@pytest.mark.parametrize("level", LEVELS)
async def test_a_held_runner_stands_still_and_goes_on_where_it_was(level: SandboxLevel) -> None:
    worker, reins = RealWorker(level=level), Reins()
    with OpenAIServer(demo_learner(delay_seconds=_CALL_SECONDS)) as server:
        running = await _attempt(worker, on_server(server), reins)
        await asked(server, during=running)

        reins.hold()
        await _until(worker.children[0].pid, "T")
        await asyncio.to_thread(wait_until, lambda: server.in_flight == 0)
        calls = len(server.received)
        ended, _ = await asyncio.wait({running}, timeout=5 * _CALL_SECONDS)
        later = len(server.received)
        reins.go_on()
        report = await running

    worker.standby.close()
    assert not ended
    assert later == calls
    assert report.status is JobStatus.SUCCESS
    assert report.usage.total_calls == len(server.received)


@pytest.mark.parametrize("level", LEVELS)
async def test_a_runner_that_is_killed_while_it_stands_still_is_noticed_within_two_seconds(level: SandboxLevel) -> None:
    worker, reins = RealWorker(level=level), Reins()
    with OpenAIServer(always("late", delay_seconds=_SLOW_SECONDS)) as server:
        running = await _attempt(worker, on_server(server), reins)
        await asked(server, during=running)
        reins.hold()
        await _until(worker.children[0].pid, "T")

        killed_at = time.monotonic()
        os.kill(worker.children[0].pid, signal.SIGKILL)
        report = await running
        seconds = time.monotonic() - killed_at

    worker.standby.close()
    assert report.failure.kind == "runner_died"
    assert seconds < 2


@pytest.mark.parametrize("level", LEVELS)
async def test_a_signal_to_end_that_reaches_the_runner_too_does_not_end_it(level: SandboxLevel) -> None:
    worker = RealWorker(level=level)
    with OpenAIServer(demo_learner(delay_seconds=_CALL_SECONDS)) as server:
        running = await _attempt(worker, on_server(server), Reins())
        await asked(server, during=running)

        os.kill(worker.children[0].pid, signal.SIGTERM)
        report = await running

    worker.standby.close()
    assert report.status is JobStatus.SUCCESS


@pytest.mark.parametrize("stands_still", [False, True], ids=["that moves", "that stands still"])
@pytest.mark.parametrize("level", LEVELS)
async def test_a_runner_does_not_outlive_its_supervisor(level: SandboxLevel, *, stands_still: bool) -> None:
    with OpenAIServer(always("late", delay_seconds=_SLOW_SECONDS)) as server:
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.slow_supervisor", server.base_url, level, stdout=subprocess.PIPE
        )
        try:
            runner = int(await supervisor.stdout.readline())
            await asked(server)
            if stands_still:
                os.killpg(runner, signal.SIGSTOP)
                await _until(runner, "T")
            assert is_alive(runner)
        finally:
            supervisor.kill()
            await supervisor.wait()

        await asyncio.to_thread(wait_until, lambda: not is_alive(runner), seconds=2)


async def test_the_last_call_of_a_cancelled_job_is_made_within_a_second(worker: RealWorker) -> None:
    learner, made_at = demo_learner(delay_seconds=_CALL_SECONDS), []

    def timed(body: Body) -> Reply:
        made_at.append(time.monotonic())
        return learner(body)

    with OpenAIServer(timed) as server:
        await worker.submit(on_server(server))
        running = asyncio.create_task(worker.execute())
        await asked(server, during=running)

        wished_at = time.monotonic()
        await worker.jobs.wish(JOB_ID, Wish.CANCEL)
        job = await running
        wait_until(lambda: server.in_flight == 0)

    assert job.status is JobStatus.CANCELLED
    assert made_at[-1] - wished_at < _MOST_SECONDS_TO_THE_LAST_CALL


async def _uninterrupted() -> tuple[int, bytes]:
    """Return the calls of the whole job, and its program."""
    worker = RealWorker()
    with OpenAIServer(demo_learner()) as server:
        await worker.run(on_server(server))
    worker.standby.close()
    return len(server.received), await worker.artifacts.get(f"{JOB_ID}/program.json")


async def test_a_job_that_is_paused_and_resumed_elsewhere_repeats_no_call(worker: RealWorker) -> None:
    calls, program = await _uninterrupted()
    with OpenAIServer(demo_learner(delay_seconds=_CALL_SECONDS)) as server:
        await worker.submit(on_server(server))
        running = asyncio.create_task(worker.execute())
        await asked(server, calls // 2, during=running)
        await worker.jobs.wish(JOB_ID, Wish.PAUSE)
        paused = await running
        calls_then = len(server.received)

        await worker.jobs.wish(JOB_ID, Wish.GO_ON)
        other = RealWorker(beside=worker)
        job = await other.execute()

    other.standby.close()
    assert (paused.status, paused.losses) == (JobStatus.PAUSED, 0)
    assert calls_then < calls
    assert (job.status, job.attempt) == (JobStatus.SUCCESS, 2)
    assert len(server.received) == calls
    assert await other.artifacts.get(f"{JOB_ID}/program.json") == program


async def test_a_job_that_is_handed_back_repeats_no_call(worker: RealWorker) -> None:
    calls, program = await _uninterrupted()
    with OpenAIServer(demo_learner(delay_seconds=_CALL_SECONDS)) as server:
        await worker.submit(on_server(server))
        running = asyncio.create_task(worker.execute())
        await asked(server, calls // 2, during=running)
        told_at = time.monotonic()
        worker.leaving.set()
        handed_back = await running
        seconds = time.monotonic() - told_at

        other = RealWorker(beside=worker)
        job = await other.execute()

    other.standby.close()
    assert (handed_back.status, handed_back.losses) == (JobStatus.PENDING, 0)
    assert seconds < 2
    assert not worker.children[0].is_alive()
    assert (job.status, job.losses) == (JobStatus.SUCCESS, 0)
    assert len(server.received) == calls
    assert await other.artifacts.get(f"{JOB_ID}/program.json") == program


async def test_a_call_that_never_ends_does_not_keep_a_worker_from_going_away() -> None:
    worker, reins = RealWorker(hand_back_seconds=0.5), Reins()
    with OpenAIServer(always("late", delay_seconds=_SLOW_SECONDS)) as server:
        running = await _attempt(worker, on_server(server), reins)
        await asked(server, during=running)

        told_at = time.monotonic()
        reins.halt(Halt.HAND_BACK)
        outcome = await running
        seconds = time.monotonic() - told_at

    worker.standby.close()
    assert outcome == Interrupted(Halt.HAND_BACK)
    assert seconds < 3
