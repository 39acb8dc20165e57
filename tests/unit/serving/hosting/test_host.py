"""A host whose other end is not what it should be: it is ended, and every run of it hears why."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from dspy_service.domain.frames import HOST_VALUES, MAX_FRAME_BYTES, Frame, encode
from dspy_service.domain.serving.run_events import RunFact
from tests.support.scripted_child import READY, Peer, Script, ScriptedChild, sleep_until_killed
from tests.support.served_programs import an_interface
from tests.support.waiting import until
from workers.lm.meter import Meter
from workers.sandbox.launch import Child
from workers.serving.answer_cache import ROLE
from workers.serving.engine import TellingEngine
from workers.serving.hosting.host import Host
from workers.serving.hosting.hosted_calls import HostedCalls
from workers.serving.hosting.hosted_run import HostedRun
from workers.serving.hosting.rules import HostRules
from workers.serving.hosting.told_facts import ToldFacts
from workers.serving.lm import RunCalls
from workers.serving.progress import Progress, TakesFacts
from workers.serving.run_errors import KnownRunError
from workers.supervisor.link import SLICE_FRAMES

LOADED: Frame = {"t": "loaded"}
FRAME: Frame = {"inputs": {}, "options": {}, "instructions": None}
OPENING = [encode({"t": "blob", "data": "", "last": True})]
RULES = HostRules(ready_seconds=20.0, load_seconds=20.0, stop_seconds=0.1)


class Counting:
    """Counts how often facts were taken, also none."""

    def __init__(self) -> None:
        self.times = 0

    def add(self, *_facts: RunFact) -> None:
        self.times += 1


def _a_run(facts: TakesFacts | None = None, *, max_facts: int = 100) -> HostedRun:
    told = ToldFacts(an_interface(), facts or Progress(), max_facts=max_facts, max_chars=1_000)
    no_model = cast("TellingEngine", None)
    return HostedRun(told, HostedCalls(RunCalls("acme", Meter({ROLE: "m"})), no_model, max_tokens=1, max_calls=1))


def _with_a_run(act: Callable[[Peer, Frame], None]) -> Script:
    """Load, take one run and do something with it."""

    def script(peer: Peer) -> int:
        peer.send(READY)
        assert peer.receive()["t"] == "blob"
        peer.send(LOADED)
        while (frame := peer.receive())["t"] != "run":
            pass
        act(peer, frame)
        sleep_until_killed(peer)
        return 0

    return script


def _says(*frames: Frame) -> Script:
    return _with_a_run(lambda peer, run: peer.send(*({"run": run["run"], **frame} for frame in frames)))


async def _idles(host: Host) -> bool:
    return not host.is_busy


def _ready_and_loaded(peer: Peer) -> None:
    peer.send(READY)
    peer.receive()
    peer.send(LOADED)


@asynccontextmanager
async def _host(script: Script, rules: HostRules = RULES) -> AsyncIterator[Host]:
    host = Host(cast("Child", ScriptedChild(script)), rules, "answers version 1")
    try:
        yield host
    finally:
        await host.aclose()


async def _outcome(script: Script, rules: HostRules = RULES) -> Any:  # noqa: ANN401  # a prediction or a sentence
    async with _host(script, rules) as host:
        await host.open(OPENING)
        try:
            return await host.carry_out(_a_run(), FRAME)
        except KnownRunError as error:
            return error.told


async def test_what_a_run_predicts_is_returned() -> None:
    assert await _outcome(_says({"t": "done", "prediction": {"answer": "yes"}})) == {"answer": "yes"}


@pytest.mark.parametrize(
    "frame",
    [
        {"t": "usage"},
        {"t": "facts", "facts": [{"type": "final"}]},
        {"t": "done", "prediction": "yes"},
        {"t": "done", "prediction": {}, "run": 99},
        {"t": "done", "prediction": {}, "run": True},
        {"t": "lm"},
        {"t": "pong", "number": 99},
        {"t": "ready", "level": "L2"},
    ],
    ids=["kind", "fact", "prediction", "run", "bool", "call", "pong", "ready"],
)
async def test_a_frame_that_makes_no_sense_ends_the_host(frame: Frame) -> None:
    told = await _outcome(_says(frame))

    assert (told.code, told.retryable) == ("worker_lost", True)
    assert "made no sense" in told.message


async def test_a_frame_that_is_too_long_ends_the_host() -> None:
    rules = HostRules(frame_bytes=1_000)

    told = await _outcome(_says({"t": "done", "prediction": {"answer": "x" * 2_000}}), rules)

    assert "made no sense" in told.message


async def test_a_frame_of_too_many_values_ends_the_host() -> None:
    told = await _outcome(_says({"t": "done", "prediction": {"answer": [1] * HOST_VALUES}}))

    assert f"more than {HOST_VALUES} values" in told.message


@pytest.mark.parametrize(
    "applied",
    [{}, {**READY["applied"], "no_new_privs": False}, "L1"],
    ids=["nothing", "less", "text"],
)
async def test_no_program_goes_to_a_process_that_is_not_confined(applied: object) -> None:
    received: list[Frame] = []

    def script(peer: Peer) -> int:
        peer.send({**READY, "applied": applied})
        received.append(peer.receive())
        return 0

    async with _host(script) as host:
        with pytest.raises(KnownRunError, match="not confined"):
            await host.open(OPENING)

    assert received == []


async def test_a_process_that_says_something_else_first_gets_no_program() -> None:
    async with _host(lambda peer: peer.send(LOADED)) as host:
        with pytest.raises(KnownRunError, match="made no sense"):
            await host.open(OPENING)

    assert host.is_at_fault


async def test_a_process_that_is_never_ready_is_given_up() -> None:
    async with _host(sleep_until_killed, HostRules(ready_seconds=0.05)) as host:
        with pytest.raises(KnownRunError, match="not ready within"):
            await host.open(OPENING)


async def test_a_process_that_ends_is_named_by_its_exit_code() -> None:
    def script(peer: Peer) -> int:
        _ready_and_loaded(peer)
        return 7

    told = await _outcome(script)

    assert "ended with exit code 7" in told.message


async def test_a_run_that_takes_too_long_is_told_to_end() -> None:
    heard: list[Frame] = []

    def act(peer: Peer, run: Frame) -> None:
        while (frame := peer.receive())["t"] != "stop":
            pass
        heard.append(frame)
        peer.send({"t": "failed", "run": run["run"], "kind": "stopped", "message": ""})

    async with _host(_with_a_run(act), HostRules(run_seconds=0.05, stop_seconds=20.0)) as host:
        await host.open(OPENING)
        with pytest.raises(KnownRunError, match="did not end within"):
            await host.carry_out(_a_run(), FRAME)
        await until(lambda: _idles(host), seconds=20)
        assert not host.ended.done()

    assert heard == [{"t": "stop", "run": 1}]


async def test_a_run_that_does_not_heed_its_end_ends_the_host_and_what_else_runs_there() -> None:
    async with _host(_with_a_run(lambda _peer, _run: None)) as host:
        await host.open(OPENING)
        defiant = asyncio.create_task(host.carry_out(_a_run(), FRAME))
        other = asyncio.create_task(host.carry_out(_a_run(), FRAME))
        await asyncio.sleep(0)

        defiant.cancel()

        with pytest.raises(KnownRunError, match="did not heed its end"):
            await asyncio.wait_for(other, 20)
        with pytest.raises(KnownRunError):
            await host.carry_out(_a_run(), FRAME)


async def test_inputs_that_fit_into_no_frame_cost_their_own_run_only() -> None:
    async with _host(_with_a_run(lambda _peer, _run: None)) as host:
        await host.open(OPENING)
        with pytest.raises(KnownRunError, match="too large") as refused:
            await host.carry_out(_a_run(), {**FRAME, "inputs": {"question": "x" * MAX_FRAME_BYTES}})

        assert refused.value.told.code == "invalid_request"
        assert not host.is_busy


async def test_a_host_that_talks_without_end_is_ended() -> None:
    def act(peer: Peer, run: Frame) -> None:
        nothing = {"t": "facts", "run": run["run"], "facts": [], "more": "x" * 10_000}
        with contextlib.suppress(OSError):  # the other end went away
            while True:
                peer.send(nothing)

    rules = replace(RULES, look_seconds=0.01, steady_bytes=1_000, burst_bytes=100_000)
    async with _host(_with_a_run(act), rules) as host:
        await host.open(OPENING)
        with pytest.raises(KnownRunError, match="said more") as lost:
            await host.carry_out(_a_run(max_facts=10**9), FRAME)

    assert lost.value.told.code == "worker_lost"


async def test_a_host_that_tells_nothing_without_end_leaves_the_loop_its_turns() -> None:
    most_frames = 20 * SLICE_FRAMES
    taken = Counting()
    between: list[int] = []

    def act(peer: Peer, run: Frame) -> None:
        with contextlib.suppress(OSError):  # the other end went away
            while True:
                peer.send_raw(encode({"t": "facts", "run": run["run"], "facts": []}) * SLICE_FRAMES)

    async def tick() -> None:
        while True:
            before = taken.times
            await asyncio.sleep(0)
            between.append(taken.times - before)

    async with _host(_with_a_run(act)) as host:
        await host.open(OPENING)
        ticking = asyncio.create_task(tick())
        with pytest.raises(KnownRunError, match="more facts"):
            await host.carry_out(_a_run(taken, max_facts=most_frames), FRAME)
        ticking.cancel()

    assert taken.times == most_frames
    assert max(between) <= 2 * SLICE_FRAMES
