"""What earlier attempts leave of a job's time."""

from datetime import UTC, datetime, timedelta

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.budget import Budget
from dspy_service.domain.events import Event, EventType, NewEvent
from dspy_service.domain.job import Claim
from dspy_service.usecases.control_job import retry
from tests.support.claims import JOB_ID, new_job
from tests.support.lm_calls import spec
from tests.support.signed import SECRET_KEY
from tests.support.working import fail
from workers.supervisor.earlier_attempts import time_budget
from workers.supervisor.time_budget import TimeBudget


class Jobs(MemoryJobStore):
    """A store whose clock the test moves, and that counts how often events are read."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        super().__init__(clock=lambda: self.time)
        self.reads = 0

    def pass_by(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    async def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        self.reads += 1
        return await super().events(job_id, after=after, limit=limit)


async def _claim(jobs: Jobs) -> Claim:
    claim = await jobs.claim(JOB_ID, owner="w", lease_seconds=60, sandbox_level="L1")
    assert claim is not None
    return claim


async def _attempt(jobs: Jobs, *, baseline_seconds: float | None, logs: int = 0) -> None:
    """Play an attempt that measures the baseline, or is lost before it has."""
    claim = await _claim(jobs)
    log = NewEvent(type=EventType.LOG, data={"level": "INFO", "logger": "l", "message": "m"})
    names = ["dataset_splits_ready"] if baseline_seconds is None else ["dataset_splits_ready", "baseline_evaluated"]
    for name in names:
        progress = NewEvent(type=EventType.PROGRESS, data={"event": name, "metrics": {}})
        await jobs.append(JOB_ID, fence=claim.fence, events=[progress, *[log] * logs])
        jobs.pass_by(baseline_seconds or 0)
    await jobs.release(JOB_ID, fence=claim.fence, active_seconds=claim.job.active_seconds + 2 * (baseline_seconds or 0))


async def _submitted(budget: Budget | None) -> Jobs:
    jobs = Jobs()
    await jobs.create(new_job(spec(budget=budget)))
    return jobs


async def _budget(jobs: Jobs, artifacts: MemoryArtifactStore | None = None) -> TimeBudget:
    files = artifacts or MemoryArtifactStore()
    return await time_budget(await _claim(jobs), jobs=jobs, artifacts=files, secret_key=SECRET_KEY, job_seconds=1000)


async def _reserve(jobs: Jobs) -> float:
    return (await _budget(jobs))._reserve_seconds


async def _failed_and_retried(jobs: Jobs, artifacts: MemoryArtifactStore, *, baseline_seconds: float) -> None:
    """Play an attempt that fails, and open the job again once its events are archived."""
    claim = await _claim(jobs)
    for name in ("dataset_splits_ready", "baseline_evaluated"):
        progress = NewEvent(type=EventType.PROGRESS, data={"event": name, "metrics": {}})
        await jobs.append(JOB_ID, fence=claim.fence, events=[progress])
        jobs.pass_by(baseline_seconds)
    await jobs.renew(JOB_ID, fence=claim.fence, lease_seconds=60, active_seconds=2 * baseline_seconds)
    await fail(jobs, JOB_ID, claim.fence)
    await retry(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)


async def test_the_first_baseline_that_was_measured_tells_the_reserve() -> None:
    jobs = await _submitted(Budget(max_seconds=100))
    await _attempt(jobs, baseline_seconds=None)
    await _attempt(jobs, baseline_seconds=30)
    await _attempt(jobs, baseline_seconds=1)

    assert await _reserve(jobs) == 30


async def test_events_are_read_page_by_page_and_not_for_ever() -> None:
    near, far = await _submitted(Budget(max_seconds=100)), await _submitted(Budget(max_seconds=100))
    await _attempt(near, baseline_seconds=5, logs=600)
    await _attempt(far, baseline_seconds=5, logs=6000)

    assert (await _reserve(near), near.reads) == (5, 2)
    assert (await _reserve(far), far.reads) == (0, 10)


@pytest.mark.parametrize("budget", [None, Budget(max_usd=1)])
async def test_nothing_is_read_without_a_budget_of_time(budget: Budget | None) -> None:
    jobs = await _submitted(budget)
    await _attempt(jobs, baseline_seconds=5)

    assert (await _reserve(jobs), jobs.reads) == (0, 0)


async def test_attempts_that_never_measured_it_reserve_nothing() -> None:
    jobs = await _submitted(Budget(max_seconds=100))
    await _attempt(jobs, baseline_seconds=None)

    assert (await _reserve(jobs), jobs.reads) == (0, 1)


async def test_a_first_attempt_has_nothing_to_read() -> None:
    jobs = await _submitted(Budget(max_seconds=100))

    assert (await _reserve(jobs), jobs.reads) == (0, 0)


async def test_the_baseline_of_an_attempt_before_a_retry_is_found_in_the_archive() -> None:
    jobs, artifacts = await _submitted(Budget(max_seconds=100)), MemoryArtifactStore()
    await _failed_and_retried(jobs, artifacts, baseline_seconds=30)
    await _attempt(jobs, baseline_seconds=1)

    budget = await _budget(jobs, artifacts)

    assert (await jobs.get(JOB_ID)).archived_seq > 0
    assert budget._reserve_seconds == 30


async def test_an_archive_that_is_gone_reserves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    jobs, artifacts = await _submitted(Budget(max_seconds=100)), MemoryArtifactStore()
    await _failed_and_retried(jobs, artifacts, baseline_seconds=30)
    artifacts.files.clear()

    budget = await _budget(jobs, artifacts)

    assert budget._reserve_seconds == 0
    assert "is not known any more" in caplog.text


async def test_a_retry_has_all_its_time_again_and_what_it_has_used_counts() -> None:
    jobs, artifacts = await _submitted(Budget(max_seconds=100)), MemoryArtifactStore()
    await _failed_and_retried(jobs, artifacts, baseline_seconds=50)
    anew = (await jobs.get(JOB_ID)).active_seconds
    await _attempt(jobs, baseline_seconds=7)

    budget = await _budget(jobs, artifacts)

    assert anew == 100
    assert budget._spent_seconds == 14


async def test_a_hand_back_does_not_give_time_back() -> None:
    jobs = await _submitted(Budget(max_seconds=100))
    await _attempt(jobs, baseline_seconds=7)

    assert (await _budget(jobs))._spent_seconds == 14
