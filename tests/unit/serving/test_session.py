"""One run is carried out to an end that its log, its record and whoever waits for it agree upon."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.result import Usage
from dspy_service.domain.serving.run import Run, RunError, RunStatus
from dspy_service.domain.serving.run_events import Cancelled, Failed, Predicted, RunFact, TextReplaced, UsageCounted
from tests.support.run_samples import a_token
from tests.support.serving_turns import DONE, ScriptedProducer, Turn, a_turn
from tests.support.waiting import until

TEXT = [a_token("Hello.")]
UNEXPECTED = RuntimeError("the secret of the service")


async def ended(turn: Turn) -> None:
    await asyncio.wait_for(turn.serving, 10.0)


async def test_a_run_ends_with_its_prediction_and_its_usage() -> None:
    usage = Usage(total_calls=1, total_tokens=7)
    turn = await a_turn(ScriptedProducer([*TEXT, DONE.model_copy(update={"usage": usage})]))

    await ended(turn)

    record = await turn.record()
    assert await turn.types() == ["start", "token", "final", "end"]
    assert (record.status, record.finish_reason, record.usage) == (RunStatus.COMPLETED, "stop", usage)


async def test_whoever_waits_for_the_end_hears_it_with_the_whole_text() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE]))

    await ended(turn)

    [(run_id, outcome, facts)] = turn.ends.heard
    assert (run_id, outcome.status) == (turn.run_id, RunStatus.COMPLETED)
    assert facts == [TextReplaced(field="answer", predictor="self", text="Hello."), DONE]


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("job store"), RuntimeError("a bug elsewhere")], ids=["store", "bug"]
)
async def test_trouble_of_whoever_hears_the_end_keeps_no_run_from_ending(error: Exception) -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True))
    turn.ends.errors.append(error)

    turn.producer.released.set()
    await ended(turn)

    assert (await turn.record()).status is RunStatus.COMPLETED
    assert len(turn.ends.heard) == isinstance(error, StoreUnavailableError)


async def test_a_prediction_that_was_cut_off_is_incomplete() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE.model_copy(update={"finish_reason": "length"})]))

    await ended(turn)

    record = await turn.record()
    assert (record.status, record.finish_reason) == (RunStatus.INCOMPLETE, "length")


async def test_a_failure_of_the_program_is_the_runs_end() -> None:
    error = RunError(code="lm_timeout", message="The model said nothing.", retryable=True)
    turn = await a_turn(ScriptedProducer([*TEXT, Failed(error=error, partial=True)]))

    await ended(turn)

    record = await turn.record()
    assert (record.status, record.error) == (RunStatus.FAILED, error)
    assert (await turn.types())[-2:] == ["error", "end"]


async def test_nothing_of_an_unknown_error_is_told() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], error=UNEXPECTED))

    await ended(turn)

    record = await turn.record()
    assert record.error is not None
    assert record.error.code == "internal"
    assert str(UNEXPECTED) not in str(await turn.events())


async def test_an_error_of_the_service_is_told_in_its_own_words() -> None:
    turn = await a_turn(ScriptedProducer(error=StoreUnavailableError("artifact store")))

    await ended(turn)

    record = await turn.record()
    assert record.error is not None
    assert "artifact store does not answer" in record.error.message
    assert record.error.retryable


async def test_a_producer_that_says_nothing_at_its_end_is_a_failure() -> None:
    turn = await a_turn(ScriptedProducer(TEXT))

    await ended(turn)

    assert (await turn.record()).status is RunStatus.FAILED
    assert (await turn.types())[-2:] == ["error", "end"]


async def test_a_wish_closes_the_producer_and_keeps_what_was_written() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True))
    await until(turn.has_shown_text)

    await turn.runs.cancel(turn.run_id, reason="disconnected")
    turn.session.look()
    await ended(turn)

    events = await turn.events()
    assert (await turn.record()).status is RunStatus.CANCELLED
    assert turn.producer.closed == [turn.run_id]
    assert [event.fact for event in events[1:-1]] == [*TEXT, Cancelled(reason="disconnected")]
    assert [outcome.status for _, outcome, _ in turn.ends.heard] == [RunStatus.CANCELLED]


async def test_what_a_cancelled_run_has_cost_is_kept() -> None:
    usage = Usage(total_calls=1, total_tokens=2)
    turn = await a_turn(ScriptedProducer([*TEXT, UsageCounted(usage=usage), DONE], is_held=True))
    await until(turn.has_shown_text)

    await turn.runs.cancel(turn.run_id, reason="asked")
    turn.session.look()
    await ended(turn)

    assert (await turn.record()).usage == usage


async def test_a_run_that_ended_before_the_wish_was_seen_has_its_own_end() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True))
    await until(turn.has_shown_text)

    turn.producer.released.set()
    await ended(turn)
    await turn.runs.cancel(turn.run_id, reason="asked")

    assert (await turn.record()).status is RunStatus.COMPLETED


async def test_a_run_past_its_deadline_is_incomplete() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True), options={"deadline_seconds": 0.02})

    await ended(turn)

    assert (await turn.record()).status is RunStatus.INCOMPLETE
    assert (await turn.events())[-2].fact == Cancelled(reason="deadline")
    assert turn.producer.closed == [turn.run_id]


async def test_a_lost_lease_stops_the_run_and_nothing_more_is_written() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True))
    await until(turn.has_shown_text)
    before = await turn.events()

    turn.runs.is_lost = True
    turn.session.look()
    await ended(turn)

    assert turn.producer.closed == [turn.run_id]
    assert turn.ends.heard == []
    assert await turn.events() == before


async def test_a_lease_that_cannot_be_renewed_in_time_is_lost() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True), lease_seconds=0.3)
    await until(turn.has_shown_text)

    turn.runs.is_away = True
    await ended(turn)

    assert turn.producer.closed == [turn.run_id]
    assert (await turn.types())[-1] == "token"


async def test_a_lease_is_renewed_as_long_as_the_run_goes_on() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True), lease_seconds=0.2)
    began_at = turn.runs.clock()

    async def is_held_beyond_the_first_lease() -> bool:
        return (turn.runs.clock() - began_at).total_seconds() > 0.5

    await until(is_held_beyond_the_first_lease)
    lost = await turn.runs.reap(lease_seconds=0.2)
    turn.producer.released.set()
    await ended(turn)

    assert lost == []
    assert (await turn.record()).status is RunStatus.COMPLETED


@pytest.mark.parametrize("replies", [1, 3])
async def test_lost_replies_neither_lose_nor_double_anything(replies: int) -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True))
    turn.runs.lost_replies = replies
    await until(turn.has_shown_text)

    turn.producer.released.set()
    await ended(turn)

    assert await turn.types() == ["start", "token", "final", "end"]
    assert (await turn.record()).status is RunStatus.COMPLETED


async def test_a_short_absence_of_the_store_delays_the_run_only() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True))
    turn.runs.is_away = True
    await until(turn_has_begun(turn))

    turn.producer.released.set()
    turn.runs.is_away = False
    await ended(turn)

    facts = [event.fact for event in await turn.events()]
    assert "".join(fact.text for fact in facts if fact.type == "token") == "Hello."
    assert isinstance(facts[-2], Predicted)


async def test_a_run_without_output_goes_back_to_the_queue() -> None:
    turn = await a_turn(ScriptedProducer(is_held=True, facts=[DONE]))
    await until(turn_has_begun(turn))

    turn.session.leave()
    await ended(turn)

    assert (await turn.record()).status is RunStatus.QUEUED
    assert await turn.runs.next_run() == turn.run_id
    assert turn.producer.closed == [turn.run_id]
    assert turn.ends.heard == []


async def test_a_run_with_output_that_must_be_left_may_be_asked_for_anew() -> None:
    turn = await a_turn(ScriptedProducer([*TEXT, DONE], is_held=True))
    await until(turn.has_shown_text)

    turn.session.leave()
    await until(turn.is_told_of_the_drain)
    turn.session.hand_back()
    await ended(turn)

    record = await turn.record()
    assert record.status is RunStatus.FAILED
    assert record.error is not None
    assert (record.error.code, record.error.retryable) == ("worker_lost", True)
    assert await turn.types() == ["start", "token", "status", "error", "end"]
    assert [outcome.status for _, outcome, _ in turn.ends.heard] == [RunStatus.FAILED]


async def test_what_was_on_its_way_when_a_run_was_given_back_is_void() -> None:
    turn = await a_turn(_LastWords([*TEXT, DONE], is_held=True))
    await until(turn_has_begun(turn))

    turn.session.leave()
    await ended(turn)

    assert (await turn.record()).status is RunStatus.QUEUED
    assert await turn.types() == ["start"]


async def test_an_answer_that_is_ready_in_the_moment_of_its_return_is_void_too() -> None:
    turn = await a_turn(ScriptedProducer([DONE], is_held=True))
    await until(turn_has_begun(turn))

    turn.producer.released.set()
    turn.session.leave()
    await ended(turn)

    assert (await turn.record()).status is RunStatus.QUEUED
    assert await turn.types() == ["start"]


class _LastWords(ScriptedProducer):
    """Tells all that it knows when it is told to end, as a program does whose model has just begun to answer."""

    async def produce(self, run: Run) -> AsyncGenerator[list[RunFact], None]:
        self.begun.append(run.run_id)
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            yield list(self.facts)
            raise


def turn_has_begun(turn: Turn):  # noqa: ANN201 - a condition
    async def has_begun() -> bool:
        return bool(turn.producer.begun)

    return has_begun
