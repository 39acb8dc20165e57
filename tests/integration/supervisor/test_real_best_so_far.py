"""Real compiles that are cut short keep the best program that they had."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dspy_service.domain.budget import Budget
from dspy_service.domain.events import EventType
from dspy_service.domain.job import JobStatus, Wish
from dspy_service.domain.spec import SplitFractions
from tests.support.claims import JOB_ID
from tests.support.openai_server import OpenAIServer, demo_learner
from tests.support.real_runners import RealWorker, on_server

_CALL_SECONDS = 0.05
_ENDING_SECONDS = 1.5
"""For the last files, and the process to end."""
_SEARCH: dict[str, Any] = {
    "optimizer_name": "bootstrap_few_shot_with_random_search",
    "optimizer_kwargs": {"num_candidate_programs": 40},
    "split_fractions": SplitFractions(train=0.4, val=0.3, test=0.3),
}


@pytest.fixture
async def worker() -> AsyncIterator[RealWorker]:
    made = RealWorker()
    yield made
    made.standby.close()


async def _best_is_stored(worker: RealWorker, running: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(60):
        while (await worker.jobs.get(JOB_ID)).best is None and not running.done():  # noqa: ASYNC110  # the store has no event to wait for
            await asyncio.sleep(0.02)
    assert not running.done()


async def _has_program(worker: RealWorker) -> bool:
    job = await worker.jobs.get(JOB_ID)
    return job.has_artifact and bool(await worker.artifacts.get(f"{JOB_ID}/program.pkl"))


async def test_a_cancelled_search_keeps_the_best_program_with_its_score(worker: RealWorker) -> None:
    with OpenAIServer(demo_learner(delay_seconds=_CALL_SECONDS)) as server:
        await worker.submit(on_server(server, **_SEARCH))
        running = asyncio.create_task(worker.execute())
        await _best_is_stored(worker, running)

        await worker.jobs.wish(JOB_ID, Wish.CANCEL)
        job = await running

    stored = await worker.stored()
    told = [event.data for event in await worker.events() if event.type is EventType.CHECKPOINT]
    assert (job.status, job.termination_reason) == (JobStatus.CANCELLED, "cancelled")
    assert await _has_program(worker)
    assert stored.baseline_test_metric is not None
    assert stored.optimized_test_metric is None
    assert stored.optimization_metadata["best_valset_score"] == told[-1]["score"]


async def test_a_search_whose_time_is_up_still_measures_its_best_program(worker: RealWorker) -> None:
    with OpenAIServer(demo_learner(delay_seconds=_CALL_SECONDS)) as server:
        job = await worker.run(on_server(server, **_SEARCH, budget=Budget(max_seconds=4)))

    stored = await worker.stored()
    assert (job.status, job.termination_reason) == (JobStatus.SUCCESS, "budget_exhausted")
    assert await _has_program(worker)
    assert stored.optimized_test_metric is not None
    events = await worker.events()
    began = next(event.timestamp for event in events if event.data.get("event") == "dataset_splits_ready")
    assert (events[-1].timestamp - began).total_seconds() < 4 + _ENDING_SECONDS


async def test_a_search_that_may_make_so_many_calls_makes_no_more_and_measures_its_best_program(
    worker: RealWorker,
) -> None:
    with OpenAIServer(demo_learner()) as server:
        job = await worker.run(on_server(server, **_SEARCH, budget=Budget(max_lm_calls=60)))

    stored = await worker.stored()
    assert (job.status, job.termination_reason) == (JobStatus.SUCCESS, "budget_exhausted")
    assert stored.optimized_test_metric is not None
    assert len(server.received) <= 60


async def test_a_search_that_is_good_enough_says_so(worker: RealWorker) -> None:
    with OpenAIServer(demo_learner()) as server:
        job = await worker.run(on_server(server, **_SEARCH, budget=Budget(stop_at_score=1.0)))

    assert (job.status, job.termination_reason) == (JobStatus.SUCCESS, "target_reached")
    assert await _has_program(worker)
