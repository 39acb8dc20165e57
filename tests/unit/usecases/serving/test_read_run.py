"""One run is read: its record, its events in pages, and its end."""

import asyncio

import pytest

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.adapters.run_record import KEPT_EVENTS, TRIMMED_AT_ONCE
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.serving.errors import RunFailedError, RunNotFoundError
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import RunError, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Failed
from dspy_service.usecases.serving.cancel_run import cancel_run
from dspy_service.usecases.serving.read_run import await_run, find_run, read_ending, read_run_page
from tests.support.run_samples import COMPLETED, a_new_run, a_token, completed, in_progress, queued, the_final

LOST = RunError(code="worker_lost", message="Gone.", retryable=True)


@pytest.fixture
def runs() -> MemoryRunStore:
    return MemoryRunStore()


async def test_a_run_is_found_by_its_own_tenant_alone(runs: MemoryRunStore) -> None:
    run = await queued(runs, a_new_run(tenant="acme"))

    assert await find_run(run.run_id, tenant="acme", runs=runs) == run
    with pytest.raises(RunNotFoundError):
        await find_run(run.run_id, tenant="other", runs=runs)
    with pytest.raises(RunNotFoundError):
        await cancel_run(run.run_id, tenant="other", runs=runs)
    assert (await runs.get(run.run_id)).status is RunStatus.QUEUED


async def test_who_waits_for_a_run_gets_its_prediction(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    waiting = asyncio.create_task(await_run(run, runs=runs))
    await runs.append(run.run_id, fence=run.fence, facts=[a_token("blue")], batch=1)

    await runs.finish(run.run_id, fence=run.fence, outcome=COMPLETED, facts=[the_final("blue")])

    ending = await waiting
    assert ending.prediction_of(run.run_id) == the_final("blue")
    assert ending.status is RunStatus.COMPLETED


async def test_a_run_that_has_ended_long_ago_is_not_waited_for(runs: MemoryRunStore) -> None:
    run = await completed(runs)

    assert (await await_run(run, runs=runs)).predicted == the_final("blue")


async def test_a_run_that_failed_has_its_error(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    outcome = RunOutcome(status=RunStatus.FAILED, error=LOST)
    await runs.finish(run.run_id, fence=run.fence, outcome=outcome, facts=[Failed(error=LOST, partial=True)])

    ending = await await_run(run, runs=runs)

    with pytest.raises(RunFailedError) as failed:
        ending.prediction_of(run.run_id)
    assert failed.value.error == LOST
    assert run.run_id in str(failed.value)


async def test_a_run_that_was_cancelled_says_so(runs: MemoryRunStore) -> None:
    run = await queued(runs)
    await runs.cancel(run.run_id, reason="interrupted")

    ending = await await_run(run, runs=runs)

    with pytest.raises(RunFailedError, match="interrupted") as failed:
        ending.prediction_of(run.run_id)
    assert failed.value.error.code == "cancelled"


async def test_a_process_that_stops_leaves_nobody_without_an_answer(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    waiting = asyncio.create_task(await_run(run, runs=runs))

    await runs.aclose()

    with pytest.raises(StoreUnavailableError):
        await waiting


async def test_the_end_of_a_run_is_read_without_its_whole_log(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    before = await read_ending(run, runs=runs)
    await runs.append(run.run_id, fence=run.fence, facts=[a_token("b")] * 100, batch=1)
    ended = await runs.finish(run.run_id, fence=run.fence, outcome=COMPLETED, facts=[the_final("blue")])

    after = await read_ending(ended, runs=runs)

    assert (before.status, before.predicted) == (RunStatus.IN_PROGRESS, None)
    assert (after.status, after.predicted) == (RunStatus.COMPLETED, the_final("blue"))


async def test_a_page_begins_with_what_stands_for_trimmed_events(runs: MemoryRunStore) -> None:
    run = await in_progress(runs)
    count = KEPT_EVENTS + TRIMMED_AT_ONCE
    tokens = [a_token("x", offset=offset) for offset in range(count)]
    await runs.append(run.run_id, fence=run.fence, facts=tokens, batch=1)

    page, has_more = await read_run_page(await runs.get(run.run_id), after=0, limit=10, runs=runs)
    rest, _ = await read_run_page(await runs.get(run.run_id), after=page[-1].seq, limit=2 * count, runs=runs)

    assert [event.fact.type for event in page[:2]] == ["start", "snapshot"]
    assert has_more
    assert FieldTexts.of(event.fact for event in [*page, *rest]).text("answer") == "x" * count
