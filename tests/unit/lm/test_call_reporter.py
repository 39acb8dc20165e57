"""What operators are told of the calls of an attempt."""

import asyncio

import pytest
from dspy.lm15 import Request, Response

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryCallLedger
from dspy_service.domain.budget import Budget
from dspy_service.domain.call_counts import CallCount, CallCounts, CallFigure
from dspy_service.domain.errors import StoreUnavailableError
from tests.support.claims import JOB_ID, claimed
from tests.support.journals import KEY, Fault, Faults, eventually
from tests.support.lm_calls import Answers, ScriptedRegistry, lm_frame, response, spec
from workers.lm.call_reporter import CallReporter
from workers.lm.doors import BrokerDoors

CALLS = CallCount(CallFigure.ANSWERED, "task")


class FaultyLedger(MemoryCallLedger):
    """A ledger with faults."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = Faults()

    async def add(self, reporter: str, number: int, counts: CallCounts) -> None:
        fault = await self.faults.before()
        await super().add(reporter, number, counts)
        self.faults.after(fault)


class Calls:
    """A counter that a test turns on."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def __call__(self) -> CallCounts:
        return {CALLS: self.count, CallCount(CallFigure.FAILED, "task"): 0}


def _reporter(ledger: MemoryCallLedger, calls: Calls, *, period_seconds: float = 0.001) -> CallReporter:
    return CallReporter(ledger, name="j1:1", count=calls, period_seconds=period_seconds)


async def test_what_comes_is_told_while_the_attempt_goes_on() -> None:
    ledger, calls = FaultyLedger(), Calls()
    reporter = _reporter(ledger, calls)

    calls.count = 3
    await eventually(lambda: ledger._totals[CALLS] == 3)
    calls.count = 5
    await eventually(lambda: ledger._totals[CALLS] == 5)
    await reporter.aclose()

    assert await ledger.totals() == {CALLS: 5}


async def test_what_earlier_attempts_told_is_not_told_again() -> None:
    ledger, calls = FaultyLedger(), Calls(40)
    reporter = _reporter(ledger, calls)

    calls.count = 42
    await reporter.aclose()

    assert await ledger.totals() == {CALLS: 2}


@pytest.mark.parametrize("fault", [Fault.AWAY, Fault.REPLY_LOST])
async def test_a_report_whose_fate_is_not_known_is_sent_again_as_it_was(fault: Fault) -> None:
    ledger, calls = FaultyLedger(), Calls()
    ledger.faults.coming.append(fault)
    reporter = _reporter(ledger, calls)
    calls.count = 3
    await eventually(lambda: not ledger.faults.coming)

    calls.count = 5
    await reporter.aclose()

    assert await ledger.totals() == {CALLS: 5}


async def test_a_ledger_that_never_answers_holds_nobody_up() -> None:
    ledger, calls = FaultyLedger(), Calls()
    ledger.faults.is_dead = True
    reporter = _reporter(ledger, calls)
    calls.count = 3
    await ledger.faults.waiting.wait()

    await asyncio.wait_for(reporter.aclose(), 5)

    assert await ledger.totals() == {}


async def test_a_bug_of_the_ledger_ends_no_job(caplog: pytest.LogCaptureFixture) -> None:
    ledger, calls = FaultyLedger(), Calls()
    ledger.faults.coming.append(Fault.BUG)
    reporter = _reporter(ledger, calls)
    calls.count = 3
    await eventually(lambda: not ledger.faults.coming)

    await reporter.aclose()

    assert "are not counted" in caplog.text
    assert await ledger.totals() == {CALLS: 3}


async def test_a_ledger_that_is_away_at_the_end_is_given_up() -> None:
    ledger, calls = FaultyLedger(), Calls()
    reporter = _reporter(ledger, calls, period_seconds=60)
    calls.count = 3
    ledger.faults.is_away = True

    await reporter.aclose()

    with pytest.raises(StoreUnavailableError):
        await ledger.add("j1:1", 1, {})
    assert await ledger.totals() == {}


async def test_a_door_tells_what_its_calls_came_to_over_two_attempts() -> None:
    async def answer(_request: Request) -> Response:
        return response("ok", prompt_tokens=30, completion_tokens=4)

    (jobs, claim), ledger = await claimed(spec(budget=Budget(max_lm_calls=2))), MemoryCallLedger()
    doors = BrokerDoors(ScriptedRegistry(answer), artifacts=MemoryArtifactStore(), secret_key=KEY, ledger=ledger)
    for questions in (["first", "first"], ["first", "second", "third"]):
        door, answers = await doors.open(claim, tail=jobs), Answers()
        for number, question in enumerate(questions):
            door.ask(lm_frame(number, question), answers)
            await answers.wait_for(number)
        await door.aclose()
        await jobs.release(JOB_ID, fence=claim.fence)
        claim = await jobs.claim(JOB_ID, owner="w2", lease_seconds=60, sandbox_level="L1")

    assert await ledger.totals() == {
        CallCount(CallFigure.ANSWERED, "task"): 2,
        CallCount(CallFigure.REPLAYED, "task"): 1,
        CallCount(CallFigure.REPEATED, "task"): 1,
        CallCount(CallFigure.OVER_BUDGET, "task"): 1,
        CallCount(CallFigure.INPUT_TOKENS, "task"): 60,
        CallCount(CallFigure.OUTPUT_TOKENS, "task"): 8,
        CallCount(CallFigure.COST_NANO_USD, "task"): 1_000_000_000,
    }
