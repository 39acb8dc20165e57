"""A ring wakes a slot that is free: none waits inside a busy worker while another one has nothing to do."""

import asyncio

import pytest
from celery import Celery

from dspy_service.adapters.celery_doorbell import CeleryDoorbell
from dspy_service.adapters.celery_settings import celery_settings
from dspy_service.domain.job import JobStatus, Wish
from tests.support.faults.stage import stage
from tests.support.platforms import short_folder

RINGS = 2


@pytest.mark.slow
async def test_a_busy_worker_takes_no_ring() -> None:
    with short_folder() as folder:
        async with stage(folder, call_seconds=0.5) as opened:
            bell, app = CeleryDoorbell(opened.store.url), Celery(set_as_current=False)
            app.conf.update(celery_settings(opened.store.url))
            await opened.worker(slots=1)
            job_id = await opened.submit()
            await opened.until(job_id, lambda job: job.status is JobStatus.RUNNING)
            before = await bell.waiting()

            for _ in range(RINGS):
                await bell.ring("nobody")
            inspect = app.control.inspect(timeout=10, limit=1)
            reserved = await asyncio.to_thread(inspect.reserved)  # its answer comes after whatever it has taken

            assert list(reserved.values()) == [[]]
            assert await bell.waiting() == before + RINGS
            await opened.jobs.wish(job_id, Wish.CANCEL)
            await opened.until_ended(job_id)
            await bell.aclose()
            app.close()
