"""The only door from a runner to language models."""

import asyncio
from typing import Never

import pytest
from dspy.lm15 import (
    AuthError,
    BillingError,
    InvalidRequestError,
    Request,
    Response,
    ServerError,
    UnsupportedModelError,
)

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import MAX_FRAME_BYTES
from dspy_service.domain.journal_entry import JournalEntry
from tests.support.lm_calls import Answers, ScriptedEngine, broker, lm_frame, request, response
from workers.lm.engine import CallLimits
from workers.lm.journal import MemoryJournal
from workers.lm.retry import RetryPolicy


async def _echo(asked: Request) -> Response:
    await asyncio.sleep(0)
    return response(f"answer to {asked.messages[0].text}")


async def test_a_call_is_answered_and_counted() -> None:
    answers, door = Answers(), broker(ScriptedEngine(_echo))

    door.ask(lm_frame(7, "one"), answers)
    await answers.wait(1)

    assert answers.text(7) == "answer to one"
    usage = door.usage()
    assert (usage.total_calls, usage.total_tokens, usage.cost_usd) == (1, 5, 0.5)
    assert usage.roles["task"].prompt_tokens == 3
    assert "prompt" not in usage.roles
    assert door.pending_calls == door.pending_bytes == 0


async def test_equal_calls_share_one_answer_while_it_is_in_flight() -> None:
    engine, answers = ScriptedEngine(_echo), Answers()
    door = broker(engine)

    for number in range(5):
        door.ask(lm_frame(number, "same"), answers)
    door.ask(lm_frame(9, "same", role="prompt"), answers)
    assert door.pending_calls == 6
    await answers.wait(6)

    assert len(engine.requests) == 1
    assert {answers.text(number) for number in answers.frames} == {"answer to same"}
    assert (door.usage().roles["task"].calls, door.usage().roles["task"].cached_calls) == (1, 4)
    assert door.usage().roles["prompt"].cached_calls == 1


async def test_an_answer_is_given_again_from_the_journal() -> None:
    engine, answers = ScriptedEngine(_echo), Answers()
    door = broker(engine)
    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    door.ask(lm_frame(2), answers)

    assert answers.text(2) == answers.text(1)
    assert len(engine.requests) == 1
    assert not answers.is_replayed(2)
    assert door.usage().roles["task"].cached_calls == 1


async def test_another_broker_replays_the_journal_without_a_call() -> None:
    journal, first, second = MemoryJournal(), ScriptedEngine(_echo), ScriptedEngine(_echo)
    answers = Answers()
    broker(first, journal=journal).ask(lm_frame(1), answers)
    await answers.wait(1)

    broker(second, journal=journal).ask(lm_frame(2), answers)

    assert answers.text(2) == "answer to hello"
    assert second.requests == []


async def test_rollouts_and_candidates_are_calls_of_their_own() -> None:
    engine, answers = ScriptedEngine(_echo), Answers()
    door = broker(engine)

    door.ask(lm_frame(1), answers)
    door.ask(lm_frame(2, rollout_id=1), answers)
    door.ask(lm_frame(3, candidate=1), answers)
    await answers.wait(3)

    assert engine.samples == ["", "1:0", "None:1"]


async def test_an_error_that_follows_from_the_request_is_journalled() -> None:
    calls = 0

    async def refuse(_request: Request) -> Never:
        nonlocal calls
        calls += 1
        raise InvalidRequestError("no such field")

    answers, door = Answers(), broker(ScriptedEngine(refuse))
    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    door.ask(lm_frame(2), answers)

    assert (answers.kind(1), answers.kind(2)) == ("invalid_request", "invalid_request")
    assert calls == 1
    assert door.usage().roles["task"].failed_calls == 1
    assert door.usage().total_calls == 0


@pytest.mark.parametrize(
    "mendable",
    [
        AuthError("wrong key"),
        BillingError("no credit"),
        UnsupportedModelError("not pulled yet"),
        InvalidRequestError("no such path", status=404),
    ],
)
async def test_an_error_that_an_operator_can_mend_is_not_journalled(mendable: Exception) -> None:
    outcomes: list[Exception | None] = [mendable, None]

    async def mended(asked: Request) -> Response:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return await _echo(asked)

    answers, door = Answers(), broker(ScriptedEngine(mended))
    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    door.ask(lm_frame(2), answers)
    await answers.wait(2)

    assert answers.text(2) == "answer to hello"


async def test_an_error_that_may_pass_is_not_journalled() -> None:
    outcomes = [ServerError("later", retry_after=100_000.0), None]

    async def flaky(asked: Request) -> Response:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return await _echo(asked)

    answers, door = Answers(), broker(ScriptedEngine(flaky), limits=CallLimits(retry=RetryPolicy(max_attempts=1)))
    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    door.ask(lm_frame(2), answers)
    await answers.wait(2)

    assert answers.kind(1) == "server"
    assert answers.frames[1]["error"]["retry_after_seconds"] == 100_000.0
    assert answers.text(2) == "answer to hello"


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "reflection"},
        {"role": None},
        {"role": ["task"]},
        {"request": None},
        {"request": {**request(), "headers": {}}},
        {"request": request(max_tokens=1001)},
        {"candidate": "0"},
        {"request": request(max_tokens=0)},
        {"request": request(max_tokens=True)},
        {"request": {**request(), "extensions": {"api_base": "http://evil"}}},
        {"request": {**request(), "config": {"api_base": "http://evil"}}},
        {"request": {**request(), "model": "openai/another", "base_url": "http://evil"}},
        {"request": request(temperature=float("inf"))},
    ],
)
async def test_what_a_job_may_not_ask_is_refused_without_a_call(fields: object) -> None:
    engine, answers = ScriptedEngine(_echo), Answers()
    door = broker(engine)

    door.ask({**lm_frame(1), **fields}, answers)

    assert answers.kind(1) == "refused"
    assert engine.requests == []
    assert door.pending_calls == 0


@pytest.mark.parametrize("number", [None, "1", 1.5, True, -1, 10**400])
async def test_a_frame_without_a_number_breaks_the_protocol(number: object) -> None:
    door = broker(ScriptedEngine(_echo))

    with pytest.raises(ProtocolError):
        door.ask({**lm_frame(1), "id": number}, Answers())


async def test_a_fault_of_our_own_is_an_answer_too(caplog: pytest.LogCaptureFixture) -> None:
    class BrokenJournal(MemoryJournal):
        async def keep(self, _entry: JournalEntry) -> Never:
            raise OSError("disk")

    answers, door = Answers(), broker(ScriptedEngine(_echo), journal=BrokenJournal())

    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    assert answers.kind(1) == "unexpected"
    assert "disk" in caplog.text


@pytest.mark.parametrize(
    ("said", "told"),
    [("cut \ud83d", "cut \ufffd"), ("\ude00 \u00e9", "\ufffd \u00e9"), ("\ud83d" + "\ude00", "\U0001f600")],
)
async def test_half_a_character_in_an_answer_costs_no_job(said: str, told: str) -> None:
    async def cut(_request: Request) -> Response:
        return response(said)

    answers, door = Answers(), broker(ScriptedEngine(cut))

    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    assert answers.text(1) == told
    assert door.usage().total_calls == 1


async def test_an_answer_that_no_frame_can_hold_is_an_error() -> None:
    async def endless(_request: Request) -> Response:
        return response("x" * MAX_FRAME_BYTES)

    answers, door = Answers(), broker(ScriptedEngine(endless))

    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    assert answers.kind(1) == "provider"
    assert "too large" in answers.frames[1]["error"]["message"]


async def test_a_closed_door_is_silent_and_stops_what_is_in_flight() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    engine, answers = ScriptedEngine(slow), Answers()
    door = broker(engine)
    door.ask(lm_frame(1), answers)
    await started.wait()

    await door.aclose()
    door.ask(lm_frame(2), answers)

    assert stopped.is_set()
    assert answers.frames == {}
    assert engine.closed
