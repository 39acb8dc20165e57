"""Whether a worker may run submitted code is asked once a second, as long as one may."""

from datetime import UTC, datetime

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.errors import SandboxUnavailableError
from dspy_service.domain.workers import SandboxLevel, WorkerInfo
from dspy_service.usecases.check_health import SandboxWatch


def worker(level: SandboxLevel) -> WorkerInfo:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return WorkerInfo(worker_id="w", queues=("jobs",), concurrency=1, sandbox_level=level, started_at=now)


async def test_a_good_answer_is_remembered_for_a_second_and_a_bad_one_is_not() -> None:
    clock = [0.0]
    jobs, watch = MemoryJobStore(), SandboxWatch(lambda: clock[0])
    await jobs.announce_worker(worker("L2"), ttl_seconds=60)
    await watch.require(jobs=jobs, minimum="L2")
    await jobs.announce_worker(worker("L1"), ttl_seconds=60)

    await watch.require(jobs=jobs, minimum="L2")
    clock[0] = 1.5
    with pytest.raises(SandboxUnavailableError):
        await watch.require(jobs=jobs, minimum="L2")

    await jobs.announce_worker(worker("L2"), ttl_seconds=60)
    await watch.require(jobs=jobs, minimum="L2")
