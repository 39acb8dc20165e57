"""A reaper keeps still for one lease after it did not reach the store, or everything stood still."""

from datetime import UTC, datetime, timedelta

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Job, JobStatus
from dspy_service.usecases.reap_jobs import Reaper, end_leases
from tests.support.claims import JOB_ID, claimed

LEASE_SECONDS = 15.0


class Clock:
    """One time for the store and for the reaper, whose own stops while their machine sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept_seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def utc(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self.seconds + self.slept_seconds)


class Interruptible(MemoryJobStore):
    """Answers while it is told to."""

    is_away = False

    async def now(self) -> datetime:
        if self.is_away:
            raise StoreUnavailableError("job store")
        return await super().now()

    async def reap(self, *, lease_seconds: float, max_losses: int, limit: int = 100) -> list[Job]:
        if self.is_away:
            raise StoreUnavailableError("job store")
        return await super().reap(lease_seconds=lease_seconds, max_losses=max_losses, limit=limit)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def jobs(clock: Clock) -> Interruptible:
    """A store with one job that is held for a minute."""
    store = Interruptible(clock.utc)
    await claimed(jobs=store)
    return store


@pytest.fixture
def reaper(clock: Clock) -> Reaper:
    return Reaper(lease_seconds=LEASE_SECONDS, max_losses=3, clock=clock)


async def looks(
    reaper: Reaper, jobs: Interruptible, clock: Clock, *, seconds: float, pause_seconds: float = 1.0
) -> list[Job]:
    """Let so much time pass with a look after each pause, and return what was reaped."""
    reaped: list[Job] = []
    for _ in range(round(seconds / pause_seconds)):
        clock.seconds += pause_seconds
        reaped += await reaper.reap(jobs)
    return reaped


async def test_a_lease_that_expired_is_reaped_at_once(
    jobs: Interruptible, reaper: Reaper, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.seconds = 61

    reaped = await reaper.reap(jobs)

    assert [(job.job_id, job.status, job.losses) for job in reaped] == [(JOB_ID, JobStatus.PENDING, 1)]
    assert "lost its worker" in caplog.text


async def test_a_lease_that_holds_is_left_alone(jobs: Interruptible, reaper: Reaper, clock: Clock) -> None:
    clock.seconds = 59

    assert await reaper.reap(jobs) == []


async def test_nothing_is_reaped_for_one_lease_after_an_outage(
    jobs: Interruptible, reaper: Reaper, clock: Clock
) -> None:
    clock.seconds = 60
    jobs.is_away = True
    with pytest.raises(StoreUnavailableError):
        await reaper.reap(jobs)
    jobs.is_away = False

    too_early = await looks(reaper, jobs, clock, seconds=LEASE_SECONDS - 1)
    in_time = await looks(reaper, jobs, clock, seconds=1)

    assert too_early == []
    assert [job.job_id for job in in_time] == [JOB_ID]


async def test_the_wait_begins_anew_when_the_store_goes_away_again(
    jobs: Interruptible, reaper: Reaper, clock: Clock
) -> None:
    clock.seconds = 60
    for _ in range(2):
        jobs.is_away = True
        clock.seconds += LEASE_SECONDS - 1
        with pytest.raises(StoreUnavailableError):
            await reaper.reap(jobs)
    jobs.is_away = False

    assert await looks(reaper, jobs, clock, seconds=LEASE_SECONDS - 1) == []


async def test_nothing_is_reaped_for_one_lease_after_the_reaper_stood_still_itself(
    jobs: Interruptible, reaper: Reaper, clock: Clock
) -> None:
    await reaper.reap(jobs)

    clock.seconds = 61
    at_once = await reaper.reap(jobs)
    too_early = await looks(reaper, jobs, clock, seconds=LEASE_SECONDS - 1)
    in_time = await looks(reaper, jobs, clock, seconds=1)

    assert at_once == too_early == []
    assert [job.job_id for job in in_time] == [JOB_ID]


async def test_nothing_is_reaped_for_one_lease_after_the_machine_has_slept(
    jobs: Interruptible, reaper: Reaper, clock: Clock
) -> None:
    await reaper.reap(jobs)

    clock.slept_seconds = 3600
    too_early = await looks(reaper, jobs, clock, seconds=LEASE_SECONDS)
    in_time = await looks(reaper, jobs, clock, seconds=1)

    assert too_early == []
    assert [job.job_id for job in in_time] == [JOB_ID]


async def test_a_reaper_that_is_a_little_late_each_time_reaps_all_the_same(
    jobs: Interruptible, reaper: Reaper, clock: Clock
) -> None:
    assert [job.job_id for job in await looks(reaper, jobs, clock, seconds=70, pause_seconds=7)] == [JOB_ID]


async def test_the_lease_of_an_owner_that_died_is_ended_at_once(
    jobs: Interruptible, caplog: pytest.LogCaptureFixture
) -> None:
    owner = (await jobs.get(JOB_ID)).owner
    assert owner is not None

    others = await end_leases(["somebody else"], jobs=jobs, max_losses=3)
    lost = await end_leases([owner], jobs=jobs, max_losses=3)

    assert others == []
    assert [(job.job_id, job.status, job.losses) for job in lost] == [(JOB_ID, JobStatus.PENDING, 1)]
    assert "lost its worker" in caplog.text
