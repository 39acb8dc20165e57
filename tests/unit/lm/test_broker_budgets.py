"""A broker that is given a budget."""

import asyncio

import pytest
from dspy.lm15 import Request, Response, ServerError

from dspy_service.domain.budget import Budget, ModelBudget, RoleBudgets
from tests.support.lm_calls import Answers, ScriptedEngine, broker, lm_frame, response
from workers.lm.engine import CallLimits
from workers.lm.journal import MemoryJournal
from workers.lm.retry import RetryPolicy


async def _answer(_request: Request) -> Response:
    for _ in range(3):
        await asyncio.sleep(0)
    return response("ok")


def _kinds(answers: Answers) -> list[str]:
    return [frame["error"]["kind"] if "error" in frame else "answered" for frame in answers.frames.values()]


async def test_of_calls_that_are_asked_for_at_once_no_more_are_made_than_the_budget_allows() -> None:
    engine, answers = ScriptedEngine(_answer), Answers()
    door = broker(engine, budget=Budget(max_lm_calls=5))

    for number in range(64):
        door.ask(lm_frame(number, f"question {number}"), answers)
    await answers.wait(64)

    assert len(engine.requests) == 5
    assert sorted(_kinds(answers)) == ["answered"] * 5 + ["budget_exhausted"] * 59
    assert door.spent == "The budget's max_lm_calls of 5 is spent."
    assert (door.usage().total_calls, door.usage().roles["task"].failed_calls) == (5, 0)


async def test_money_is_overspent_by_no_more_than_what_was_in_flight() -> None:
    engine, answers = ScriptedEngine(_answer), Answers()
    door = broker(engine, budget=Budget(max_usd=10.0))

    async def thread(first: int) -> None:
        for number in range(first, first + 20):
            door.ask(lm_frame(number, f"question {number}"), answers)
            await answers.wait_for(number)

    await asyncio.gather(*(thread(100 * index) for index in range(8)))

    assert 20 <= len(engine.requests) <= 20 + 7
    assert "max_usd" in door.spent


async def test_what_is_in_the_journal_is_answered_when_the_budget_is_spent() -> None:
    engine, answers = ScriptedEngine(_answer), Answers()
    door = broker(engine, budget=Budget(max_lm_calls=1))
    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    door.ask(lm_frame(2), answers)
    door.ask(lm_frame(3, "another"), answers)
    await answers.wait(3)

    assert _kinds(answers) == ["answered", "answered", "budget_exhausted"]
    assert engine.requests != []


async def test_whoever_waits_for_the_same_call_hears_of_the_refusal_too() -> None:
    engine, answers = ScriptedEngine(_answer), Answers()
    door = broker(engine, budget=Budget(roles=RoleBudgets(task=ModelBudget(max_lm_calls=1))))
    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    door.ask(lm_frame(2, "another"), answers)
    door.ask(lm_frame(3, "another", role="prompt"), answers)
    await answers.wait(3)

    assert (answers.kind(2), answers.kind(3)) == ("budget_exhausted", "budget_exhausted")
    assert door.pending_calls == 0


async def test_a_refused_call_is_made_once_there_is_room_again() -> None:
    engine, answers = ScriptedEngine(_answer), Answers()
    door = broker(engine, budget=Budget(max_lm_calls=4))
    door.begin("baseline")
    door.ask(lm_frame(1, "baseline"), answers)
    await answers.wait(1)
    door.begin("compile")
    for number in (2, 3, 4):
        door.ask(lm_frame(number, f"compile {number}"), answers)
    await answers.wait(4)

    door.begin("final")
    door.ask(lm_frame(5, "compile 4"), answers)
    await answers.wait(5)

    assert answers.kind(4) == "budget_exhausted"
    assert answers.text(5) == "ok"
    assert len(engine.requests) == 4


async def test_calls_that_a_compile_leaves_behind_do_not_spend_what_is_kept_for_the_final_evaluation() -> None:
    engine, answers = ScriptedEngine(_answer), Answers()
    door = broker(engine, budget=Budget(max_lm_calls=4))
    door.begin("baseline")
    door.ask(lm_frame(1, "baseline"), answers)
    await answers.wait(1)

    door.begin("compile")
    for number in range(2, 10):
        door.ask(lm_frame(number, f"compile {number}"), answers)
    door.begin("final")
    door.ask(lm_frame(10, "final", phase="final"), answers)
    door.ask(lm_frame(11, "compile 11", phase="compile"), answers)
    await answers.wait(11)

    assert answers.kind(11) == "budget_exhausted"
    assert [answers.frames[number].get("error") is None for number in (2, 3, 4, 10)] == [True, True, False, True]
    assert len(engine.requests) == 4


@pytest.mark.parametrize("claimed", ["final", "", None, 7, ["compile"], {}, "baseline"])
async def test_a_runner_that_lies_about_the_phase_gets_at_nothing_that_is_kept(claimed: object) -> None:
    engine, answers = ScriptedEngine(_answer), Answers()
    door = broker(engine, budget=Budget(max_lm_calls=2))
    door.begin("baseline")
    door.ask(lm_frame(1, "baseline"), answers)
    await answers.wait(1)

    door.begin("compile")
    door.ask(lm_frame(2, "compile", phase=claimed), answers)
    await answers.wait(2)

    assert answers.kind(2) == "budget_exhausted"


async def test_a_baseline_that_is_replayed_is_kept_for_too() -> None:
    engine, answers, journal = ScriptedEngine(_answer), Answers(), MemoryJournal()
    first = broker(engine, journal=journal)
    for number in range(3):
        first.ask(lm_frame(number, f"baseline {number}"), answers)
    await answers.wait(3)

    door = broker(engine, journal=journal, budget=Budget(max_lm_calls=5))
    door.begin("baseline")
    for number in range(3):
        door.ask(lm_frame(10 + number, f"baseline {number}"), answers)
    door.begin("compile")
    for number in range(3):
        door.ask(lm_frame(20 + number, f"compile {number}"), answers)
    await answers.wait(9)

    assert [answers.frames[number].get("error") is None for number in (20, 21, 22)] == [True, True, False]


async def test_a_call_that_failed_leaves_its_place_to_another() -> None:
    outcomes: list[Exception] = [ServerError("no")]

    async def flaky(asked: Request) -> Response:
        if outcomes:
            raise outcomes.pop()
        return await _answer(asked)

    engine, answers = ScriptedEngine(flaky), Answers()
    door = broker(engine, budget=Budget(max_lm_calls=1), limits=CallLimits(retry=RetryPolicy(max_attempts=1)))
    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    door.ask(lm_frame(2), answers)
    await answers.wait(2)

    assert (answers.kind(1), answers.text(2)) == ("server", "ok")
    assert door.usage().total_calls == 1
