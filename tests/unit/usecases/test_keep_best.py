"""The best program so far outlives its attempt, and is the result of every kind of stop."""

import dataclasses

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.job import BestSoFar, Failure, JobStatus
from dspy_service.domain.supervision import Halt, Interrupted, RunReport
from dspy_service.usecases.keep_best import keeper_of_best
from tests.support.claims import JOB_ID, claimed, take_over
from tests.support.executed import SUCCESS, ScriptedSupervisor, checkpoint, execute_job, stored_result
from tests.support.program_files import program_files
from tests.support.signed import SECRET_KEY

CANCELLED = RunReport(JobStatus.CANCELLED, "cancelled")


async def interrupted(score: float = 0.5) -> tuple[MemoryJobStore, MemoryArtifactStore]:
    """Return a job that kept a program and was handed back."""
    supervisor = ScriptedSupervisor(Interrupted(Halt.HAND_BACK), checkpoints=[checkpoint(score=score)])
    return await execute_job(supervisor)


async def test_files_come_first_and_then_the_record_names_them() -> None:
    jobs, claim = await claimed()
    artifacts = MemoryArtifactStore()
    keep = keeper_of_best(claim, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)

    await keep(checkpoint(3, score=0.25))

    folder = f"{JOB_ID}/1/best-3"
    assert (await jobs.get(JOB_ID)).best == BestSoFar(score=0.25, path=folder, fence=1)
    assert artifacts.files[f"{folder}/program.pkl"] == b"best"
    assert {path.removeprefix(f"{folder}/") for path in artifacts.files} == {
        "manifest.json",
        "metadata.json",
        "program.json",
        "program.pkl",
        "result.json",
    }


async def test_a_worker_that_lost_its_job_leaves_the_record_alone() -> None:
    jobs, claim = await claimed()
    keep = keeper_of_best(claim, jobs=jobs, artifacts=MemoryArtifactStore(), secret_key=SECRET_KEY)
    await take_over(jobs)

    with pytest.raises(LeaseLostError):
        await keep(checkpoint())

    assert (await jobs.get(JOB_ID)).best is None


async def test_a_program_that_may_not_be_stored_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    jobs, claim = await claimed()
    artifacts = MemoryArtifactStore()
    keep = keeper_of_best(claim, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
    files = {**program_files(), "program.json": b"{}"}

    await keep(dataclasses.replace(checkpoint(), files=files))

    assert artifacts.files == {}
    assert "was not kept" in caplog.text


async def test_an_attempt_that_is_cancelled_while_it_replays_keeps_what_the_one_before_it_reached() -> None:
    jobs, artifacts = await interrupted()

    await execute_job(ScriptedSupervisor(CANCELLED), jobs=jobs, artifacts=artifacts, create=False)

    job = await jobs.get(JOB_ID)
    stored = await stored_result(jobs, artifacts)
    assert (job.status, job.has_artifact, job.result_path) == (JobStatus.CANCELLED, True, f"{JOB_ID}/2")
    assert artifacts.files[f"{JOB_ID}/program.pkl"] == b"best"
    assert (stored.baseline_test_metric, stored.termination_reason) == (0.25, "cancelled")


@pytest.mark.parametrize(("reached", "pickle"), [(0.4, b"best"), (0.6, b"newer")])
async def test_the_better_program_of_two_attempts_is_kept(reached: float, pickle: bytes) -> None:
    jobs, artifacts = await interrupted(score=0.5)
    report = dataclasses.replace(CANCELLED, files=program_files(pickle=b"newer"), checkpoint_score=reached)

    await execute_job(ScriptedSupervisor(report), jobs=jobs, artifacts=artifacts, create=False)

    assert artifacts.files[f"{JOB_ID}/program.pkl"] == pickle


async def test_a_budget_that_ends_while_an_attempt_replays_is_a_success_with_the_earlier_program() -> None:
    jobs, artifacts = await interrupted()
    report = RunReport.failed("budget_exhausted", "out of calls", reason="budget_exhausted")

    await execute_job(ScriptedSupervisor(report), jobs=jobs, artifacts=artifacts, create=False)

    job = await jobs.get(JOB_ID)
    assert (job.status, job.termination_reason, job.has_artifact) == (JobStatus.SUCCESS, "budget_exhausted", True)
    assert job.message == "budget_exhausted"
    assert (await stored_result(jobs, artifacts)).failure is None


@pytest.mark.parametrize("report", [SUCCESS, RunReport.failed("metric_error", "wrong")])
async def test_an_attempt_that_ends_by_itself_keeps_its_own_end(report: RunReport) -> None:
    jobs, artifacts = await interrupted(score=0.99)

    await execute_job(ScriptedSupervisor(report), jobs=jobs, artifacts=artifacts, create=False)

    job = await jobs.get(JOB_ID)
    assert (job.status, job.has_artifact) == (report.status, bool(report.files))
    assert artifacts.files.get(f"{JOB_ID}/program.pkl") == report.files.get("program.pkl")


async def test_a_kept_program_that_was_touched_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    jobs, artifacts = await interrupted()
    artifacts.files[f"{JOB_ID}/1/best-1/program.pkl"] = b"forged"

    await execute_job(ScriptedSupervisor(CANCELLED), jobs=jobs, artifacts=artifacts, create=False)

    job = await jobs.get(JOB_ID)
    assert (job.status, job.has_artifact) == (JobStatus.CANCELLED, False)
    assert "cannot be used" in caplog.text


async def test_an_attempt_that_has_no_time_even_to_begin_ends_with_the_program_of_an_earlier_one() -> None:
    jobs, artifacts = await interrupted(score=0.5)
    spent = Failure(kind="budget_exhausted", message="The job's budget of 60 s of running time is used up.")
    supervisor = ScriptedSupervisor(RunReport(JobStatus.FAILED, "budget_exhausted", failure=spent), begins=False)

    await execute_job(supervisor, jobs=jobs, artifacts=artifacts, create=False)

    job = await jobs.get(JOB_ID)
    assert (job.status, job.termination_reason, job.has_artifact) == (JobStatus.SUCCESS, "budget_exhausted", True)
    assert await artifacts.get(f"{JOB_ID}/program.pkl") == b"best"
