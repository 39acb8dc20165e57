"""One job when a lease is lost or a store is away."""

import asyncio
from typing import Any

import pytest

from dspy_service.adapters.memory.artifacts import MemoryArtifactStore
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.events import EventType
from dspy_service.domain.job import Claim, Job, JobStatus, Outcome, Wish
from dspy_service.domain.supervision import RunReport
from dspy_service.usecases import execute as execute_module
from tests.support.claims import DATASET, JOB_ID, new_job, take_over, told
from tests.support.executed import ScriptedSupervisor, execute_job


async def test_a_lost_lease_stops_the_supervisor_and_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def lose(_claim: Claim, store: MemoryJobStore, _cancel: asyncio.Event) -> None:
        await take_over(store)
        await asyncio.Event().wait()

    supervisor = ScriptedSupervisor(during=lose)

    jobs, artifacts = await execute_job(supervisor)

    assert supervisor.cancelled
    assert (await jobs.get(JOB_ID)).status is JobStatus.RUNNING
    assert await artifacts.list(JOB_ID) == []
    assert "another worker's" in caplog.text


async def test_a_supervisor_that_notices_the_loss_itself_is_silent_too() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(LeaseLostError(JOB_ID, 1)))

    assert (await jobs.get(JOB_ID)).status is JobStatus.RUNNING
    assert await artifacts.list(JOB_ID) == []


async def test_a_lease_lost_just_before_the_end_publishes_nothing() -> None:
    async def lose(_claim: Claim, store: MemoryJobStore, _cancel: asyncio.Event) -> None:
        await take_over(store)

    jobs, artifacts = await execute_job(ScriptedSupervisor(during=lose), heartbeat_seconds=10.0)

    assert (await jobs.get(JOB_ID)).status is JobStatus.RUNNING
    assert await artifacts.list(JOB_ID) == []


async def test_rows_that_are_gone_fail_the_job() -> None:
    jobs = MemoryJobStore()
    await jobs.create(new_job())

    await execute_job(ScriptedSupervisor(), jobs=jobs, create=False)

    job = await jobs.get(JOB_ID)
    assert job.status is JobStatus.FAILED
    assert "no longer stored" in (job.message or "")


@pytest.mark.parametrize(
    ("fault", "words"),
    [(RuntimeError("a bug"), "its operator has the log"), (StoreUnavailableError("job store"), "does not answer")],
)
async def test_a_fault_of_ours_ends_the_job_and_stays_in_our_log(
    fault: Exception, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    jobs, _ = await execute_job(ScriptedSupervisor(fault))

    job = await jobs.get(JOB_ID)
    assert job.status is JobStatus.FAILED
    assert words in (job.message or "")
    assert str(fault) in caplog.text


class _Flaky:
    """Fails a few times, then works."""

    failures = 2

    def fail(self, what: str) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError(what)


async def test_a_store_that_is_away_at_the_end_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class FlakyJobs(MemoryJobStore, _Flaky):
        async def finish(self, job_id: str, **fields: Any) -> Job:  # noqa: ANN401  # handed on
            self.fail("job store")
            return await super().finish(job_id, **fields)

    monkeypatch.setattr(execute_module, "_RETRY_SECONDS", 0.001)

    jobs, _ = await execute_job(ScriptedSupervisor(), jobs=FlakyJobs())

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS


async def test_an_artifact_store_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class FlakyArtifacts(MemoryArtifactStore, _Flaky):
        async def put(self, path: str, data: bytes) -> None:
            if path != DATASET:
                self.fail("artifact store")
            await super().put(path, data)

    monkeypatch.setattr(execute_module, "_RETRY_SECONDS", 0.001)

    jobs, artifacts = await execute_job(ScriptedSupervisor(), artifacts=FlakyArtifacts())

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS
    assert await artifacts.get(f"{JOB_ID}/program.pkl") == b"pickle"


async def test_an_artifact_store_that_stays_away_fails_the_job_without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoArtifacts(MemoryArtifactStore):
        async def put(self, path: str, data: bytes) -> None:
            if path != DATASET:
                raise StoreUnavailableError("artifact store")
            await super().put(path, data)

    monkeypatch.setattr(execute_module, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(execute_module, "_FILES_PATIENCE_SECONDS", 0.01)

    jobs, _ = await execute_job(ScriptedSupervisor(), artifacts=NoArtifacts())

    job = await jobs.get(JOB_ID)
    assert (job.status, job.result_path, job.has_artifact) == (JobStatus.FAILED, None, False)
    assert not job.events_archived
    assert await told(jobs, EventType.STATE)


async def test_an_illegal_end_still_ends_the_job_as_failed() -> None:
    class StrictJobs(MemoryJobStore):
        async def finish(self, job_id: str, *, fence: int, outcome: Outcome) -> Job:
            if outcome.status is JobStatus.SUCCESS:
                raise ValueError("a validating job cannot become success")
            return await super().finish(job_id, fence=fence, outcome=outcome)

    jobs, _ = await execute_job(ScriptedSupervisor(), jobs=StrictJobs())

    job = await jobs.get(JOB_ID)
    assert job.status is JobStatus.FAILED
    assert "operator has the log" in (job.message or "")


async def test_a_job_store_that_is_away_for_a_while_costs_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    class AwayJobs(MemoryJobStore):
        renewals = 0

        async def renew(self, job_id: str, *, fence: int, lease_seconds: float) -> Wish:
            self.renewals += 1
            if self.renewals < 20:
                raise StoreUnavailableError("job store")
            return await super().renew(job_id, fence=fence, lease_seconds=lease_seconds)

    monkeypatch.setattr(execute_module, "_RETRY_SECONDS", 0.001)

    jobs, _ = await execute_job(ScriptedSupervisor(), jobs=AwayJobs())

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS


async def test_events_of_a_failure_wait_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    class FlakyJobs(MemoryJobStore, _Flaky):
        async def append(self, job_id: str, **fields: Any) -> int:  # noqa: ANN401  # handed on
            self.fail("job store")
            return await super().append(job_id, **fields)

    monkeypatch.setattr(execute_module, "_RETRY_SECONDS", 0.001)
    report = RunReport.failed("metric_error", "wrong")

    jobs, artifacts = await execute_job(ScriptedSupervisor(report), jobs=FlakyJobs())

    assert (await jobs.get(JOB_ID)).message == "wrong"
    assert b"ERROR" in await artifacts.get(f"{JOB_ID}/events.jsonl")


async def test_a_store_that_never_answers_costs_the_lease_before_it_ends() -> None:
    class Silent(MemoryJobStore):
        async def renew(self, _job_id: str, **_fields: object) -> Wish:
            await asyncio.Event().wait()

    async def for_ever(_claim: Claim, _store: MemoryJobStore, _cancel: asyncio.Event) -> None:
        await asyncio.Event().wait()

    supervisor = ScriptedSupervisor(during=for_ever)
    started = asyncio.get_running_loop().time()

    await execute_job(supervisor, jobs=Silent(), lease_seconds=0.3, heartbeat_seconds=0.05)

    assert supervisor.cancelled
    assert asyncio.get_running_loop().time() - started < 0.3


async def test_one_missed_heartbeat_is_no_loss() -> None:
    class Hiccup(MemoryJobStore, _Flaky):
        beats = 0

        async def renew(self, job_id: str, **fields: Any) -> Wish:  # noqa: ANN401  # handed on
            self.beats += 1
            self.fail("job store")
            return await super().renew(job_id, **fields)

    jobs = Hiccup()

    async def five_beats(_claim: Claim, _store: MemoryJobStore, _cancel: asyncio.Event) -> None:
        async with asyncio.timeout(5):
            while jobs.beats < 5:  # noqa: ASYNC110  # the store has no event to wait for
                await asyncio.sleep(0.01)

    await execute_job(ScriptedSupervisor(during=five_beats), jobs=jobs)

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS


async def test_rows_that_were_changed_in_the_store_are_not_used() -> None:
    artifacts = MemoryArtifactStore()
    jobs = MemoryJobStore()
    await jobs.create(new_job())
    await artifacts.put(DATASET, b'[{"text": "poisoned", "label": "x"}]')
    supervisor = ScriptedSupervisor()

    await execute_job(supervisor, jobs=jobs, artifacts=artifacts, create=False)

    job = await jobs.get(JOB_ID)
    assert supervisor.rows is None
    assert (job.status, job.has_artifact) == (JobStatus.FAILED, False)
    assert DATASET in (job.message or "")
