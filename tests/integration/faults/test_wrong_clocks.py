"""Case 7: workers whose clock is hours off.

The system clock of one process cannot be faked without a preloaded library. A module that Python imports at each start
puts ``time.time``, ``time.time_ns`` and ``datetime.now`` off instead: for the worker's own code, Celery, kombu and the
Redis client, which is everything that could compare a time. Leases and all stored times are the store's; a worker's
waits are monotonic.
"""

import asyncio
from pathlib import Path

import pytest

from dspy_service.domain.job import JobStatus
from tests.support.faults.platform_marks import on_linux
from tests.support.faults.stage import Stage

pytestmark = [pytest.mark.slow, on_linux]

HOUR = 3600
SITE = """
import datetime, time

OFF = {seconds}
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime
time.time = lambda: _time() + OFF
time.time_ns = lambda: _time_ns() + OFF * 10**9


class datetime_off(_datetime):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=OFF)

    @classmethod
    def utcnow(cls):
        return _datetime.utcnow() + datetime.timedelta(seconds=OFF)


datetime.datetime = datetime_off
"""


async def test_no_job_runs_twice_and_none_is_lost_among_workers_hours_apart(faults: Stage) -> None:
    workers = await asyncio.gather(
        faults.worker(),
        *(faults.worker(python_path=str(site(faults.folder, hours))) for hours in (2, -2)),
    )
    job_ids = [await faults.submit(seed=seed) for seed in range(1, 7)]

    started = [await faults.until(job_id, lambda job: job.attempt > 0) for job_id in job_ids]
    jobs = [await faults.until_ended(job_id) for job_id in job_ids]

    owners = {worker.pid for worker in workers for job in started if worker.holds(job.owner)}
    assert owners == {worker.pid for worker in workers}
    assert {(job.status, job.attempt, job.losses) for job in jobs} == {(JobStatus.SUCCESS, 1, 0)}
    assert await faults.violations() == []


def site(folder: Path, hours: int) -> Path:
    """Return a folder that puts the clock off for whoever has it on his path."""
    place = folder / f"site{hours}"
    place.mkdir()
    (place / "sitecustomize.py").write_text(SITE.format(seconds=hours * HOUR), encoding="utf-8")
    return place
