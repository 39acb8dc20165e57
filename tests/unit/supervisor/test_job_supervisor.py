"""One attempt of a job with a scripted runner at the other end of the socket."""

import asyncio
import base64
import errno
from typing import Never

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.errors import LeaseLostError, ModelCallError
from dspy_service.domain.events import EventType
from dspy_service.domain.job import Claim, JobStatus
from dspy_service.domain.supervision import NoRunnerError, Reins
from tests.support.claims import JOB_ID, claimed, take_over, told
from tests.support.lm_calls import lm_frame, rows, spec
from tests.support.scripted_child import READY, RESULT, RUNNING, Peer, ScriptedChild, sleep_until_killed
from tests.support.signed import SECRET_KEY
from tests.support.supervised import Doors, Kept, log_frame, run_attempt, scripted_supervisor
from workers.supervisor import JobSupervisor, Standby


async def test_a_whole_job_gives_its_result_files_events_and_usage() -> None:
    def runner(peer: Peer) -> None:
        job, sent_rows = peer.receive_job()
        assert job["job_id"] == JOB_ID
        assert sent_rows == rows(3)
        peer.send(RUNNING, log_frame("hello"), lm_frame(1), lm_frame(2))
        assert [peer.receive()["id"], peer.receive()["id"]] == [1, 2]
        peer.send({"t": "blob", "name": "program.pkl", "data": base64.b64encode(b"pickle").decode(), "last": True})
        peer.send({**RESULT, "result": {**RESULT["result"], "baseline_test_metric": 0.5}})

    report, jobs = await run_attempt(runner)

    assert (report.status, report.termination_reason) == (JobStatus.SUCCESS, "completed")
    assert report.result.baseline_test_metric == 0.5
    assert report.files == {"program.pkl": b"pickle"}
    assert report.usage.total_calls == 2
    assert [data["message"] for data in await told(jobs, EventType.LOG)] == ["hello"]
    assert (await told(jobs, EventType.USAGE))[-1]["roles"]["task"]["calls"] == 2
    assert (await jobs.get(JOB_ID)).status is JobStatus.RUNNING


async def test_a_failure_of_the_program_is_a_report_with_its_traceback() -> None:
    failure = {"kind": "metric_error", "message": "two\nlines", "traceback": "Traceback \x1b[31m"}

    def runner(peer: Peer) -> None:
        peer.receive_job()
        partial = {**RESULT["result"], "baseline_test_metric": 0.25}
        peer.send({"t": "failure", "failure": failure, "partial": partial})

    report, _ = await run_attempt(runner)

    assert (report.status, report.termination_reason) == (JobStatus.FAILED, "error")
    assert report.failure.message == "two lines"
    assert report.failure.traceback == "Traceback \\x1b[31m"
    assert report.result.baseline_test_metric == 0.25


async def test_a_job_that_takes_too_long_is_ended() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner, job_seconds=0.2)

    assert (report.status, report.termination_reason) == (JobStatus.FAILED, "time_limit")
    assert "0.2 s" in report.failure.message


async def test_a_lost_lease_ends_the_runner_and_writes_nothing_more() -> None:
    jobs, claim = await claimed()
    ended = []

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(log_frame("before"))
        sleep_until_killed(peer)
        ended.append(True)

    supervisor, standby = scripted_supervisor(runner)
    running = asyncio.create_task(supervisor.run(claim, [], jobs=jobs, reins=Reins(), keep_best=Kept()))
    await take_over(jobs)

    with pytest.raises(LeaseLostError):
        await running

    standby.close()
    assert ended == [True]
    assert await told(jobs, EventType.LOG) == []


async def test_an_interrupted_supervisor_leaves_no_runner() -> None:
    jobs, claim = await claimed()
    begun, ended = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        loop.call_soon_threadsafe(begun.set)
        sleep_until_killed(peer)
        ended.append(True)

    supervisor, standby = scripted_supervisor(runner)
    running = asyncio.create_task(supervisor.run(claim, [], jobs=jobs, reins=Reins(), keep_best=Kept()))
    await begun.wait()

    running.cancel()
    await asyncio.wait({running})

    standby.close()
    assert running.cancelled()
    assert ended == [True]


async def test_a_model_without_a_key_fails_the_job_before_any_runner_is_used() -> None:
    class NoKey:
        async def open(self, _claim: Claim, **_tail: object) -> Never:
            raise ModelCallError("not_configured", "set OPENAI_API_KEY on the worker")

    jobs, claim = await claimed()
    standby = Standby(lambda: pytest.fail("no runner is needed"))
    supervisor = JobSupervisor(
        standby=standby,
        level="L1",
        doors=NoKey(),
        catalogue=Registry(),
        artifacts=MemoryArtifactStore(),
        secret_key=SECRET_KEY,
    )

    report = await supervisor.run(claim, [], jobs=jobs, reins=Reins(), keep_best=Kept())

    assert (report.failure.kind, report.failure.message) == ("model_error", "set OPENAI_API_KEY on the worker")


async def test_an_optimizer_that_this_worker_does_not_know_fails_the_job() -> None:
    report, _ = await run_attempt(job_spec=spec(optimizer_name="mine.Own"))

    assert report.failure.kind == "unsupported_request"


async def test_a_bug_in_supervising_ends_the_job_instead_of_waiting_for_a_day() -> None:
    jobs, claim = await claimed()

    def runner(peer: Peer) -> None:
        peer.send(READY)
        sleep_until_killed(peer)

    supervisor, standby = scripted_supervisor(runner)

    report = await supervisor.run(claim, [{"a": object()}], jobs=jobs, reins=Reins(), keep_best=Kept())  # type: ignore[dict-item]  # the bug

    standby.close()
    assert report.status is JobStatus.FAILED
    assert report.failure.kind == "internal_error"


async def test_the_next_runner_is_warmed_when_a_job_ends() -> None:
    jobs, claim = await claimed()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, RESULT)

    supervisor, standby = scripted_supervisor(runner)

    await supervisor.run(claim, [], jobs=jobs, reins=Reins(), keep_best=Kept())

    assert standby._waiting is not None
    assert standby._waiting.is_alive()
    standby.close()


async def test_a_machine_that_cannot_start_the_next_runner_keeps_this_jobs_report(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, RESULT)

    jobs, claim = await claimed()
    remaining = [ScriptedChild(runner)]

    def start() -> ScriptedChild:
        if not remaining:
            raise OSError("no more processes")
        return remaining.pop()

    standby = Standby(start)
    supervisor = JobSupervisor(
        standby=standby,
        level="L1",
        doors=Doors(),
        catalogue=Registry(),
        artifacts=MemoryArtifactStore(),
        secret_key=SECRET_KEY,
    )

    report = await supervisor.run(claim, [], jobs=jobs, reins=Reins(), keep_best=Kept())

    assert report.status is JobStatus.SUCCESS
    assert "no more processes" in caplog.text


async def test_a_machine_that_starts_no_process_is_not_the_jobs_fault() -> None:
    def launch() -> Never:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    jobs, claim = await claimed()
    supervisor = JobSupervisor(
        standby=Standby(launch),
        level="L1",
        doors=Doors(None),
        catalogue=Registry(),
        artifacts=MemoryArtifactStore(),
        secret_key=SECRET_KEY,
    )

    with pytest.raises(NoRunnerError, match=r"^Resource temporarily unavailable\.$"):
        await supervisor.run(claim, rows(3), jobs=jobs, reins=Reins(), keep_best=Kept())
