"""One job when a lease is lost or a store is away."""

import asyncio
from typing import Any

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.job import Claim, Job, JobStatus, Outcome, Wish
from dspy_service.domain.supervision import NoRunnerError, Reins, RunReport
from tests.support.claims import DATASET, JOB_ID, new_job, take_over
from tests.support.executed import HASTY, NoArtifacts, ScriptedSupervisor, execute_job


class Flaky:
    """Fails a few times, then works."""

    failures = 2

    def fail(self, what: str) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError(what)


async def test_a_lost_lease_stops_the_supervisor_and_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def lose(_claim: Claim, store: MemoryJobStore, _reins: Reins) -> None:
        await take_over(store)
        await asyncio.Event().wait()

    supervisor = ScriptedSupervisor(during=lose)

    jobs, artifacts = await execute_job(supervisor)

    assert supervisor.cancelled
    assert (await jobs.get(JOB_ID)).owner == "w2"
    assert await artifacts.list(JOB_ID) == []
    assert "another worker's" in caplog.text


async def test_a_supervisor_that_notices_the_loss_itself_is_silent_too() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(LeaseLostError(JOB_ID, 1)))

    assert (await jobs.get(JOB_ID)).status is JobStatus.RUNNING
    assert await artifacts.list(JOB_ID) == []


async def test_a_lease_lost_just_before_the_end_publishes_nothing() -> None:
    async def lose(_claim: Claim, store: MemoryJobStore, _reins: Reins) -> None:
        await take_over(store)

    jobs, artifacts = await execute_job(ScriptedSupervisor(during=lose), heartbeat_seconds=10.0)

    job = await jobs.get(JOB_ID)
    assert (job.owner, job.status, job.result_path) == ("w2", JobStatus.VALIDATING, None)
    assert all(path.startswith(f"{JOB_ID}/1/") for path in await artifacts.list(JOB_ID))


async def test_rows_that_are_gone_fail_the_job() -> None:
    jobs = MemoryJobStore()
    await jobs.create(new_job())

    await execute_job(ScriptedSupervisor(), jobs=jobs, create=False)

    job = await jobs.get(JOB_ID)
    assert job.status is JobStatus.FAILED
    assert "no longer stored" in (job.message or "")


async def test_a_bug_of_ours_ends_the_job_and_stays_in_our_log(caplog: pytest.LogCaptureFixture) -> None:
    jobs, _ = await execute_job(ScriptedSupervisor(RuntimeError("a bug")))

    job = await jobs.get(JOB_ID)
    assert job.status is JobStatus.FAILED
    assert "its operator has the log" in (job.message or "")
    assert "a bug" in caplog.text


async def test_a_store_that_is_away_at_the_end_is_asked_again() -> None:
    class FlakyJobs(MemoryJobStore, Flaky):
        async def finish(self, job_id: str, **fields: Any) -> Job:  # noqa: ANN401  # handed on
            self.fail("job store")
            return await super().finish(job_id, **fields)

    jobs, _ = await execute_job(ScriptedSupervisor(), jobs=FlakyJobs())

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS


async def test_an_artifact_store_that_is_away_is_asked_again() -> None:
    class FlakyArtifacts(MemoryArtifactStore, Flaky):
        async def put(self, path: str, data: bytes) -> None:
            if path != DATASET:
                self.fail("artifact store")
            await super().put(path, data)

    jobs, artifacts = await execute_job(ScriptedSupervisor(), artifacts=FlakyArtifacts())

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS
    assert await artifacts.get(f"{JOB_ID}/program.pkl") == b"pickle"


async def test_an_artifact_store_that_stays_away_gives_the_job_back_without_a_loss() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(), artifacts=NoArtifacts())

    job = await jobs.get(JOB_ID)
    assert (job.status, job.losses, job.result_path) == (JobStatus.PENDING, 0, None)
    assert "artifact store did not answer" in (job.message or "")
    assert await artifacts.list(JOB_ID) == []


async def test_rows_that_cannot_be_read_for_long_give_the_job_back() -> None:
    class Unreadable(MemoryArtifactStore):
        async def get(self, _path: str) -> bytes:
            raise StoreUnavailableError("artifact store")

    supervisor = ScriptedSupervisor()

    jobs, _ = await execute_job(supervisor, artifacts=Unreadable())

    assert supervisor.rows is None
    assert (await jobs.get(JOB_ID)).status is JobStatus.PENDING


async def test_a_supervisor_that_misses_a_store_gives_the_job_back(caplog: pytest.LogCaptureFixture) -> None:
    jobs, _ = await execute_job(ScriptedSupervisor(StoreUnavailableError("artifact store")))

    job = await jobs.get(JOB_ID)
    assert (job.status, job.attempt, job.losses) == (JobStatus.PENDING, 1, 0)
    assert "given back" in caplog.text


async def test_a_worker_that_can_start_no_process_gives_the_job_back() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(NoRunnerError("It was not ready after 60 s.")))

    job = await jobs.get(JOB_ID)
    assert (job.status, job.attempt, job.losses, job.result_path) == (JobStatus.PENDING, 1, 0, None)
    assert job.message == "The process for this job did not start; the job is tried again. It was not ready after 60 s."
    assert await artifacts.list(JOB_ID) == []


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


async def test_events_of_a_failure_wait_for_the_store() -> None:
    class FlakyJobs(MemoryJobStore, Flaky):
        async def append(self, job_id: str, **fields: Any) -> int:  # noqa: ANN401  # handed on
            self.fail("job store")
            return await super().append(job_id, **fields)

    jobs, artifacts = await execute_job(ScriptedSupervisor(RunReport.failed("metric_error", "wrong")), jobs=FlakyJobs())

    assert (await jobs.get(JOB_ID)).message == "wrong"
    assert b"ERROR" in await artifacts.get(f"{JOB_ID}/events.jsonl")


async def test_a_store_that_never_answers_costs_the_attempt_but_no_loss() -> None:
    class Silent(MemoryJobStore):
        async def renew(self, _job_id: str, **_fields: object) -> Wish:
            await asyncio.Event().wait()
            raise AssertionError

    async def for_ever(_claim: Claim, _store: MemoryJobStore, _reins: Reins) -> None:
        await asyncio.Event().wait()

    supervisor = ScriptedSupervisor(during=for_ever)

    jobs, _ = await execute_job(supervisor, jobs=Silent(), lease_seconds=0.3, heartbeat_seconds=0.05)

    job = await jobs.get(JOB_ID)
    assert supervisor.cancelled
    assert (job.status, job.losses) == (JobStatus.PENDING, 0)


async def test_an_attempt_that_was_given_up_in_silence_may_find_its_job_taken() -> None:
    class Silent(MemoryJobStore):
        async def renew(self, _job_id: str, **_fields: object) -> Wish:
            raise StoreUnavailableError("job store")

    async def until_taken(_claim: Claim, store: MemoryJobStore, _reins: Reins) -> None:
        await take_over(store)
        await asyncio.Event().wait()

    jobs, _ = await execute_job(
        ScriptedSupervisor(during=until_taken), jobs=Silent(), lease_seconds=0.2, heartbeat_seconds=0.05
    )

    assert (await jobs.get(JOB_ID)).owner == "w2"


async def test_silence_costs_nothing_once_the_runner_has_ended() -> None:
    class AwayJobs(MemoryJobStore):
        silent = True

        async def renew(self, job_id: str, **fields: Any) -> Wish:  # noqa: ANN401  # handed on
            if self.silent:
                raise StoreUnavailableError("job store")
            return await super().renew(job_id, **fields)

        async def finish(self, job_id: str, **fields: Any) -> Job:  # noqa: ANN401  # handed on
            if asyncio.get_running_loop().time() < self.back_at:
                raise StoreUnavailableError("job store")
            return await super().finish(job_id, **fields)

    jobs = AwayJobs()
    jobs.back_at = asyncio.get_running_loop().time() + 0.6

    await execute_job(ScriptedSupervisor(), jobs=jobs, lease_seconds=0.2, heartbeat_seconds=0.05, patience=HASTY)

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS


async def test_one_missed_heartbeat_is_no_loss() -> None:
    class Hiccup(MemoryJobStore, Flaky):
        beats = 0

        async def renew(self, job_id: str, **fields: Any) -> Wish:  # noqa: ANN401  # handed on
            self.beats += 1
            self.fail("job store")
            return await super().renew(job_id, **fields)

    jobs = Hiccup()

    async def five_beats(_claim: Claim, _store: MemoryJobStore, _reins: Reins) -> None:
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


async def test_a_race_that_is_lost_is_run_again_with_whoever_is_next() -> None:
    class Raced(MemoryJobStore):
        """Another worker is faster for the first job that is asked for."""

        raced = ""

        async def claim(self, job_id: str, **fields: Any) -> Claim | None:  # noqa: ANN401  # handed on
            if not self.raced:
                self.raced = job_id
                assert await super().claim(job_id, **{**fields, "owner": "w2"}) is not None
            return await super().claim(job_id, **fields)

    jobs = Raced()
    await jobs.create(new_job().model_copy(update={"job_id": "earlier"}))
    supervisor = ScriptedSupervisor()

    await execute_job(supervisor, jobs=jobs)

    assert jobs.raced == "earlier"
    assert [claim.job.job_id for claim in supervisor.claims] == [JOB_ID]


async def test_a_job_that_nobody_can_claim_is_left_alone() -> None:
    class Refusing(MemoryJobStore):
        async def claim(self, _job_id: str, **_fields: object) -> Claim | None:
            return None

    supervisor = ScriptedSupervisor()

    await execute_job(supervisor, jobs=Refusing())

    assert supervisor.claims == []
