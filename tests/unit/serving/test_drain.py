"""A worker that goes away ends its runs in time, whatever they and the store do."""

import asyncio
from collections.abc import AsyncGenerator

from dspy_service.domain.serving.run import Run, RunStatus
from dspy_service.domain.serving.run_events import RunFact
from tests.support.run_samples import a_token
from tests.support.serving_turns import DONE, ScriptedProducer, Turn, a_turn
from tests.support.waiting import until
from workers.serving.drain import drain

SECONDS = 10.0


async def a_writing_turn(producer: ScriptedProducer) -> Turn:
    turn = await a_turn(producer)
    await until(turn.has_shown_text)
    return turn


def held() -> ScriptedProducer:
    return ScriptedProducer([a_token("Hello."), DONE], is_held=True)


async def test_without_runs_there_is_nothing_to_wait_for() -> None:
    await asyncio.wait_for(drain({}, seconds=3600), SECONDS)


async def test_a_run_that_ends_by_itself_ends_the_wait() -> None:
    turn = await a_writing_turn(held())
    draining = asyncio.create_task(drain({turn.serving: turn.session}, seconds=3600))

    turn.producer.released.set()
    await asyncio.wait_for(draining, SECONDS)

    assert (await turn.record()).status is RunStatus.COMPLETED


async def test_a_run_that_does_not_end_is_left_while_others_are_not() -> None:
    quick, slow = await a_writing_turn(held()), await a_writing_turn(held())
    quick.producer.released.set()

    await asyncio.wait_for(drain({turn.serving: turn.session for turn in (quick, slow)}, seconds=1.2), SECONDS)

    assert (await quick.record()).status is RunStatus.COMPLETED
    assert (await slow.record()).status is RunStatus.FAILED


async def test_what_cannot_be_given_back_is_left_to_its_lease() -> None:
    turn = await a_writing_turn(held())
    turn.runs.is_away = True

    await asyncio.wait_for(drain({turn.serving: turn.session}, seconds=1.0), SECONDS)

    assert turn.serving.done()
    assert (await turn.record()).status is RunStatus.IN_PROGRESS
    assert turn.producer.closed == [turn.run_id]


class _Deaf(ScriptedProducer):
    """Does not end when it is told to."""

    async def produce(self, run: Run) -> AsyncGenerator[list[RunFact], None]:  # noqa: ARG002 - nobody asks whose
        yield [a_token("Hello.")]
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue


async def test_a_producer_that_does_not_heed_the_cancel_costs_a_second_at_most() -> None:
    turn = await a_writing_turn(_Deaf())

    await asyncio.wait_for(drain({turn.serving: turn.session}, seconds=1.0), SECONDS)
    turn.producer.released.set()

    assert turn.serving.done()
