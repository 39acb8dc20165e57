"""One job from its doorbell to its end, when all goes well or the program is to blame."""

import asyncio
import json
from typing import Any

import pytest

from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain import artifact_paths as paths
from dspy_service.domain.events import Event, EventType, NewEvent
from dspy_service.domain.job import Claim, Failure, Job, JobStatus, Outcome, Wish
from dspy_service.domain.supervision import Halt, Interrupted, Reins, RunReport
from tests.support.claims import JOB_ID
from tests.support.executed import SUCCESS, USAGE, ScriptedSupervisor, execute_job, stored_result
from tests.support.lm_calls import rows
from tests.support.program_files import program_files


async def test_a_finished_job_stands_where_readers_look() -> None:
    supervisor = ScriptedSupervisor()

    jobs, artifacts = await execute_job(supervisor)

    job = await jobs.get(JOB_ID)
    assert supervisor.rows == rows(4)
    assert (job.status, job.termination_reason, job.message) == (JobStatus.SUCCESS, "completed", "completed")
    assert (job.result_path, job.result_fence) == (f"{JOB_ID}/1", 1)
    assert (job.has_artifact, job.sandbox_level) == (True, "L1")
    assert job.archived_seq == job.last_seq
    names = ["events.index.json", "events.jsonl", "events.manifest.json", "manifest.json", "metadata.json"]
    names += ["program.json", "program.pkl", "result.json", "spec.json"]
    files = [f"{folder}/{name}" for folder in (f"{JOB_ID}/1", JOB_ID) for name in names]
    assert await artifacts.list(JOB_ID) == sorted(files)
    assert await artifacts.get(f"{JOB_ID}/program.pkl") == b"pickle"
    assert await artifacts.get(f"{JOB_ID}/1/result.json") == await artifacts.get(f"{JOB_ID}/result.json")


async def test_the_result_holds_what_only_the_worker_knows() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())

    stored = await stored_result(jobs, artifacts)

    assert stored.usage == USAGE
    assert (stored.module_name, stored.optimizer_name) == ("predict", "bootstrap_few_shot")
    assert (stored.optimized_test_metric, stored.termination_reason) == (0.75, "completed")
    assert stored.sandbox_level == "L1"
    assert stored.runtime_seconds is not None
    assert stored.runtime_seconds >= 0
    assert stored.failure is None


async def test_the_metadata_is_the_runners_with_our_facts_over_it() -> None:
    _, artifacts = await execute_job(ScriptedSupervisor())

    metadata = json.loads(await artifacts.get(f"{JOB_ID}/metadata.json"))

    assert metadata["job_id"] == JOB_ID
    assert metadata["dependency_versions"] == {"dspy": "3.4.1"}
    assert metadata["signature"] == {"name": "Route"}
    assert metadata["optimized_test_metric"] == 0.75


async def test_metadata_has_versions_even_when_the_runner_sent_none() -> None:
    files = program_files()
    report = RunReport(JobStatus.SUCCESS, "completed", result=SUCCESS.result, files=files)

    _, artifacts = await execute_job(ScriptedSupervisor(report))

    metadata = json.loads(await artifacts.get(f"{JOB_ID}/metadata.json"))
    assert metadata["dependency_versions"] == {"python": "3.11.7", "dspy": "3.4.1"}


async def test_the_archived_log_is_the_whole_log_and_leaves_the_store() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())

    lines = (await artifacts.get(f"{JOB_ID}/{paths.EVENTS}")).splitlines()
    events = [Event.model_validate_json(line) for line in lines]

    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [e.data["status"] for e in events if e.type is EventType.STATE] == [
        "pending",
        "validating",
        "running",
        "success",
    ]
    assert await jobs.events(JOB_ID) == []


async def test_a_failed_program_is_data_with_its_traceback_in_the_log() -> None:
    failure = Failure(kind="metric_error", message="KeyError: 'x' (line 2)", traceback="Traceback: KeyError")
    report = RunReport(JobStatus.FAILED, "error", usage=USAGE, result=SUCCESS.result, failure=failure)

    jobs, artifacts = await execute_job(ScriptedSupervisor(report))

    job = await jobs.get(JOB_ID)
    assert (job.status, job.termination_reason) == (JobStatus.FAILED, "error")
    assert (job.message, job.has_artifact) == ("KeyError: 'x' (line 2)", False)
    assert (await stored_result(jobs, artifacts)).failure == failure.model_dump()
    lines = (await artifacts.get(f"{JOB_ID}/events.jsonl")).splitlines()
    logs = [event.data for event in map(Event.model_validate_json, lines) if event.type is EventType.LOG]
    assert [(log["level"], log["message"]) for log in logs] == [("ERROR", "Traceback: KeyError")]


async def test_a_failed_job_publishes_no_program() -> None:
    report = RunReport(JobStatus.FAILED, "error", failure=Failure(kind="k", message="m"), files=SUCCESS.files)

    _, artifacts = await execute_job(ScriptedSupervisor(report))

    names = ["events.index.json", "events.jsonl", "events.manifest.json", "manifest.json", "result.json", "spec.json"]
    assert await artifacts.list(f"{JOB_ID}/1") == [f"{JOB_ID}/1/{name}" for name in names]


async def test_a_cancelled_job_keeps_what_it_has() -> None:
    report = RunReport(JobStatus.CANCELLED, "cancelled", result=SUCCESS.result)

    jobs, artifacts = await execute_job(ScriptedSupervisor(report))

    job = await jobs.get(JOB_ID)
    assert (job.status, job.termination_reason, job.has_artifact) == (JobStatus.CANCELLED, "cancelled", False)
    assert (await stored_result(jobs, artifacts)).optimized_test_metric == 0.75


async def test_a_wish_to_cancel_reaches_the_supervisor_by_heartbeat() -> None:
    jobs = MemoryJobStore()

    async def wait_for_cancel(_claim: Claim, store: MemoryJobStore, reins: Reins) -> None:
        await store.wish(JOB_ID, Wish.CANCEL)
        async with asyncio.timeout(5):
            assert await reins.halted() is Halt.CANCEL

    report = RunReport(JobStatus.CANCELLED, "cancelled")

    await execute_job(ScriptedSupervisor(report, during=wait_for_cancel), jobs=jobs)

    assert (await jobs.get(JOB_ID)).status is JobStatus.CANCELLED


@pytest.mark.parametrize("outcome", [SUCCESS, Interrupted(Halt.HAND_BACK)], ids=["ended", "given back"])
async def test_the_record_knows_the_running_time_that_the_attempt_counts(outcome: RunReport | Interrupted) -> None:
    jobs, seen = MemoryJobStore(), []

    async def run_for_a_while(_claim: Claim, _store: MemoryJobStore, reins: Reins) -> None:
        reins.count_with(lambda: 4.5)
        async with asyncio.timeout(5):
            while not seen or seen[-1] == 0:
                seen.append((await jobs.get(JOB_ID)).active_seconds)
                await asyncio.sleep(0.01)
        reins.count_with(lambda: 6.25)

    await execute_job(ScriptedSupervisor(outcome, during=run_for_a_while), jobs=jobs)

    assert seen[-1] == 4.5
    assert (await jobs.get(JOB_ID)).active_seconds == 6.25


class SlowAnswers(MemoryJobStore):
    """Lets a job go at once and says so later; heartbeats come in between."""

    beats_afterwards = 0

    async def renew(self, job_id: str, **fields: Any) -> Wish:  # noqa: ANN401  # handed on
        self.beats_afterwards += (await self.get(job_id)).status is not JobStatus.RUNNING
        return await super().renew(job_id, **fields)

    async def finish(self, job_id: str, *, fence: int, outcome: Outcome) -> Job:
        return await self._later(await super().finish(job_id, fence=fence, outcome=outcome))

    async def release(self, job_id: str, **fields: Any) -> Job:  # noqa: ANN401  # handed on
        return await self._later(await super().release(job_id, **fields))

    async def _later(self, job: Job) -> Job:
        async with asyncio.timeout(5):
            while not self.beats_afterwards:  # noqa: ASYNC110  # the store has no event to wait for
                await asyncio.sleep(0.001)
        return job


async def test_a_heartbeat_that_crosses_the_end_does_not_make_the_job_another_workers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs, _ = await execute_job(ScriptedSupervisor(), jobs=SlowAnswers())

    job = await jobs.get(JOB_ID)
    assert job.archived_seq == job.last_seq
    assert caplog.messages == []


async def test_a_heartbeat_that_crosses_a_hand_back_is_no_loss_either(caplog: pytest.LogCaptureFixture) -> None:
    jobs, _ = await execute_job(ScriptedSupervisor(Interrupted(Halt.HAND_BACK)), jobs=SlowAnswers())

    assert (await jobs.get(JOB_ID)).status is JobStatus.PENDING
    assert caplog.messages == []


async def test_a_second_ring_finds_nothing_to_do() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    second = ScriptedSupervisor()

    await execute_job(second, jobs=jobs, artifacts=artifacts, create=False)

    assert second.rows is None


async def test_a_ring_without_a_waiting_job_is_no_error() -> None:
    supervisor = ScriptedSupervisor()

    await execute_job(supervisor, create=False)

    assert supervisor.rows is None


async def test_events_of_a_job_are_written_under_its_fence() -> None:
    async def report(claim: Claim, store: MemoryJobStore, _reins: Reins) -> None:
        event = NewEvent(type=EventType.LOG, data={"level": "INFO", "logger": "l", "message": "hi"})
        await store.append(claim.job.job_id, fence=claim.fence, events=[event])

    _, artifacts = await execute_job(ScriptedSupervisor(during=report))

    events = map(Event.model_validate_json, (await artifacts.get(f"{JOB_ID}/events.jsonl")).splitlines())
    assert [event.attempt for event in events if event.type is EventType.LOG] == [1]
