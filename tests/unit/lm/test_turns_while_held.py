"""A job that may not call keeps no turn at a provider, and waits for none: other jobs need them."""

import asyncio
from dataclasses import replace

from dspy.lm15 import Message, Request, Response

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryCallThrottle, MemoryJobStore
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.throttle import CallGrant, CallWish, GrantUse, ProviderLimits
from tests.support.claims import new_job
from tests.support.journals import KEY
from tests.support.lm_calls import Answers, Handler, ScriptedEngine, ScriptedRegistry, lm_frame, response, target
from tests.support.throttles import ScriptedThrottle, grant_all, settled, told, until_asked
from workers.lm.broker import Broker
from workers.lm.doors import BrokerDoors
from workers.lm.engine import CallLimits, MeteredEngine
from workers.lm.gate import Gate
from workers.lm.provider_line import ProviderLine
from workers.lm.target import Target

_REQUEST = Request(model="wire", messages=(Message.user("hi"),))


def _engine() -> ScriptedEngine:
    async def answer(_request: Request) -> Response:
        return response("ok")

    return ScriptedEngine(answer)


def _line(throttle: ScriptedThrottle, *, calls: int) -> ProviderLine:
    return ProviderLine("p", ProviderLimits(max_in_flight=calls), throttle=throttle, tenant="acme", job_id="j1")


def _metered(engine: ScriptedEngine, gate: Gate, line: ProviderLine) -> MeteredEngine:
    return MeteredEngine(target(engine), CallLimits(), gate=gate, line=line)


async def test_a_job_that_is_held_asks_for_no_turn() -> None:
    throttle, gate, engine = ScriptedThrottle(), Gate(), _engine()
    gate.hold()
    metered = _metered(engine, gate, _line(throttle, calls=1))
    call = asyncio.create_task(metered.complete(_REQUEST))
    await settled()
    begun_while_held = (len(throttle.wishes), len(engine.requests))

    gate.go_on()
    await call
    await metered.aclose()

    assert begun_while_held == (0, 0)
    assert (len(throttle.wishes), len(engine.requests)) == (1, 1)


async def test_a_turn_that_comes_when_the_gate_is_closed_is_given_back_at_once() -> None:
    throttle, gate, engine = ScriptedThrottle(), Gate(), _engine()
    throttle.is_answering.clear()
    metered = _metered(engine, gate, _line(throttle, calls=1))
    call = asyncio.create_task(metered.complete(_REQUEST))
    await until_asked(throttle)

    gate.shut()
    throttle.is_answering.set()
    await told(throttle, GrantUse(grant=throttle.wishes[0].grant, left=0))

    assert engine.requests == []
    call.cancel()
    await asyncio.wait({call})
    await metered.aclose()
    assert len(throttle.wishes) == 1


async def test_calls_in_line_step_aside_when_the_gate_closes_and_come_back_when_it_opens() -> None:
    throttle = ScriptedThrottle(lambda _wish: CallGrant(calls=0, wait_seconds=0))
    gate, engine = Gate(), _engine()
    line = _line(throttle, calls=2)
    gate.when_it_closes(line.step_aside)
    metered = _metered(engine, gate, line)
    calls = [asyncio.create_task(metered.complete(_REQUEST)) for _ in range(2)]
    await until_asked(throttle, times=2)

    gate.hold()
    await settled()
    asked = len(throttle.wishes)
    throttle.script = grant_all
    await settled()
    asked_while_held = len(throttle.wishes) - asked
    gate.go_on()
    await asyncio.gather(*calls)
    await metered.aclose()

    assert asked_while_held == 0
    assert throttle.wishes[-1].calls == 2
    assert len(engine.requests) == 2


class OneAtATime(ScriptedRegistry):
    """Its provider takes one call at a time, of all jobs together."""

    def target(self, settings: ModelSettings) -> Target:
        return replace(super().target(settings), provider="p", provider_limits=ProviderLimits(max_in_flight=1))


class Listed(MemoryCallThrottle):
    """Remembers who asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def take(self, provider: str, wish: CallWish, *, limits: ProviderLimits) -> CallGrant:
        self.asked.append(wish.job_id)
        return await super().take(provider, wish, limits=limits)


async def _door(job_id: str, handler: Handler, throttle: MemoryCallThrottle) -> Broker:
    jobs = MemoryJobStore()
    await jobs.create(new_job().model_copy(update={"job_id": job_id}))
    claim = await jobs.claim(job_id, owner="w", lease_seconds=60, sandbox_level="L1")
    assert claim is not None
    doors = BrokerDoors(OneAtATime(handler), artifacts=MemoryArtifactStore(), secret_key=KEY, throttle=throttle)
    return await doors.open(claim, tail=jobs)


async def test_another_job_has_the_provider_for_itself_while_a_paused_one_still_drains() -> None:
    throttle, is_called, may_end = Listed(), asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> Response:
        is_called.set()
        await may_end.wait()
        return response("late")

    async def quick(_request: Request) -> Response:
        return response("ok")

    paused, other = await _door("paused", slow, throttle), await _door("other", quick, throttle)
    last, answers = Answers(), Answers()
    paused.ask(lm_frame(1, "in flight"), last)
    await is_called.wait()
    paused.ask(lm_frame(2, "in line"), last)
    await settled()

    draining = asyncio.create_task(paused.drain(60))
    await settled()
    throttle.asked.clear()
    may_end.set()
    await draining
    for number in range(3):
        other.ask(lm_frame(number, f"call {number}"), answers)
        await answers.wait_for(number)

    assert list(last.frames) == [1]
    assert set(throttle.asked) == {"other"}
    assert len(answers.frames) == 3
    await paused.aclose()
    await other.aclose()
