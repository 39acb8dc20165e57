"""A door that is held, drained, closed or lost."""

import asyncio

import pytest
from dspy.lm15 import Request, Response

from tests.support.claims import JOB_ID, claimed, take_over
from tests.support.journals import FaultyArtifacts, FaultyTail, all_has_run, eventually, open_journal
from tests.support.lm_calls import Answers, ScriptedEngine, broker, lm_frame, response


class Provider:
    """Answers when told."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.engine = ScriptedEngine(self._answer)

    async def _answer(self, _request: Request) -> Response:
        await self.may_answer.wait()
        return response("answered")

    @property
    def calls(self) -> int:
        return len(self.engine.requests)


async def test_a_held_door_begins_no_call_and_goes_on_when_told() -> None:
    provider, answers = Provider(), Answers()
    door = broker(provider.engine)
    provider.may_answer.set()

    door.hold()
    door.ask(lm_frame(1), answers)
    await all_has_run()
    during = (provider.calls, door.pending_calls)
    door.go_on()
    await answers.wait(1)

    assert during == (0, 1)
    assert answers.text(1) == "answered"
    await door.aclose()


async def test_a_held_door_still_takes_the_answers_that_were_on_their_way() -> None:
    provider, answers = Provider(), Answers()
    door = broker(provider.engine)
    door.ask(lm_frame(1), answers)
    await eventually(lambda: provider.calls == 1)

    door.hold()
    provider.may_answer.set()
    await answers.wait(1)

    assert answers.text(1) == "answered"
    await door.aclose()


async def test_a_drained_door_waits_for_calls_in_flight_and_begins_none() -> None:
    (jobs, claim), provider, answers = await claimed(), Provider(), Answers()
    door = broker(provider.engine, journal=await open_journal(claim, jobs, FaultyArtifacts()))
    for number in range(3):
        door.ask(lm_frame(number, f"question {number}"), answers)
    await eventually(lambda: provider.calls == 3)

    draining = asyncio.create_task(door.drain(10))
    await all_has_run()
    door.ask(lm_frame(9, "one more"), answers)
    await all_has_run()
    drained_early = draining.done()
    provider.may_answer.set()
    await asyncio.wait_for(draining, 5)

    assert not drained_early
    assert provider.calls == 3
    assert len((await jobs.answers(JOB_ID))[1]) == 3
    await answers.wait(3)
    assert sorted(answers.frames) == [0, 1, 2]
    await door.aclose()


async def test_a_door_is_drained_only_when_the_last_answer_is_durable() -> None:
    (jobs, claim), provider, answers = await claimed(), Provider(), Answers()
    tail = FaultyTail(jobs)
    door = broker(provider.engine, journal=await open_journal(claim, tail, FaultyArtifacts()))
    tail.faults.is_away = True
    provider.may_answer.set()
    door.ask(lm_frame(1), answers)
    await eventually(lambda: tail.batches != [])

    draining = asyncio.create_task(door.drain(10))
    await all_has_run()
    drained_early = draining.done()
    tail.faults.is_away = False
    await asyncio.wait_for(draining, 5)

    assert not drained_early
    assert len(await tail.texts()) == 1
    await door.aclose()


async def test_a_drained_door_still_answers_from_the_journal() -> None:
    provider, answers = Provider(), Answers()
    door = broker(provider.engine)
    provider.may_answer.set()
    door.ask(lm_frame(1), answers)
    await answers.wait(1)

    await door.drain(10)
    door.ask(lm_frame(2), answers)

    assert answers.text(2) == "answered"
    await door.aclose()


async def test_draining_ends_when_the_time_is_up() -> None:
    provider, answers = Provider(), Answers()
    door = broker(provider.engine)
    door.ask(lm_frame(1), answers)
    await eventually(lambda: provider.calls == 1)

    await asyncio.wait_for(door.drain(0.01), 5)
    await door.aclose()

    assert answers.frames == {}


async def test_a_drained_door_does_not_go_on() -> None:
    provider, answers = Provider(), Answers()
    door = broker(provider.engine)
    await door.drain(10)

    door.go_on()
    door.ask(lm_frame(1), answers)
    await all_has_run()

    assert provider.calls == 0
    await door.aclose()


async def test_no_answer_is_seen_before_it_is_durable() -> None:
    (jobs, claim), provider, answers = await claimed(), Provider(), Answers()
    tail = FaultyTail(jobs)
    door = broker(provider.engine, journal=await open_journal(claim, tail, FaultyArtifacts()))
    tail.faults.is_away = True
    provider.may_answer.set()

    door.ask(lm_frame(1), answers)
    await eventually(lambda: len(tail.batches) >= 2)
    seen_early = dict(answers.frames)
    tail.faults.is_away = False
    await answers.wait(1)

    assert seen_early == {}
    assert answers.text(1) == "answered"
    await door.aclose()


async def test_a_door_whose_job_is_another_workers_falls_silent() -> None:
    (jobs, claim), provider, answers = await claimed(), Provider(), Answers()
    door = broker(provider.engine, journal=await open_journal(claim, jobs, FaultyArtifacts()))
    for number in range(2):
        door.ask(lm_frame(number, f"question {number}"), answers)
    await eventually(lambda: provider.calls == 2)
    await take_over(jobs)

    provider.may_answer.set()
    await eventually(lambda: not door._is_open)
    door.ask(lm_frame(9, "one more"), answers)
    await door.aclose()

    assert answers.frames == {}
    assert provider.calls == 2
    assert await jobs.answers(JOB_ID) == (0, [])


@pytest.mark.parametrize("state", ["open", "held"])
async def test_a_door_is_closed_at_once_whatever_waits(state: str) -> None:
    (jobs, claim), provider, answers = await claimed(), Provider(), Answers()
    door = broker(provider.engine, journal=await open_journal(claim, jobs, FaultyArtifacts()))
    if state == "held":
        door.hold()
    for number in range(3):
        door.ask(lm_frame(number, f"question {number}"), answers)
    await all_has_run()

    door.close_door()
    provider.may_answer.set()
    await asyncio.wait_for(door.aclose(), 5)

    assert answers.frames == {}
    assert await jobs.answers(JOB_ID) == (0, [])
