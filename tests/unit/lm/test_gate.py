"""When calls may begin."""

import asyncio

from tests.support.journals import all_has_run
from workers.lm.gate import Gate


class Caller:
    """A task that passes a gate, and ends when told."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.began = asyncio.Event()
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self._call())

    async def _call(self) -> None:
        async with self._gate:
            self.began.set()
            await self.end.wait()


async def test_calls_pass_an_open_gate_and_are_counted() -> None:
    gate = Gate()

    callers = [Caller(gate), Caller(gate)]
    await asyncio.gather(*(caller.began.wait() for caller in callers))

    assert (gate.is_open, gate.calling) == (True, 2)
    callers[0].end.set()
    await callers[0].task
    assert gate.calling == 1
    callers[1].end.set()
    await callers[1].task


async def test_a_held_gate_lets_what_is_inside_go_on_and_nothing_in() -> None:
    gate = Gate()
    inside = Caller(gate)
    await inside.began.wait()

    gate.hold()
    outside = Caller(gate)
    inside.end.set()
    await inside.task
    await all_has_run()

    assert not outside.began.is_set()
    gate.go_on()
    await asyncio.wait_for(outside.began.wait(), 5)
    outside.end.set()
    await outside.task


async def test_a_gate_that_closes_again_at_once_lets_nobody_in() -> None:
    gate = Gate()
    gate.hold()
    outside = Caller(gate)
    await all_has_run()

    gate.go_on()
    gate.hold()
    await all_has_run()

    assert not outside.began.is_set()
    outside.task.cancel()


async def test_a_shut_gate_stays_shut() -> None:
    gate = Gate()

    gate.shut()
    gate.go_on()
    outside = Caller(gate)
    await all_has_run()

    assert not gate.is_open
    assert not outside.began.is_set()
    outside.task.cancel()


async def test_it_is_quiet_once_nobody_is_inside() -> None:
    gate = Gate()
    await asyncio.wait_for(gate.quiet(), 5)
    callers = [Caller(gate), Caller(gate)]
    await asyncio.gather(*(caller.began.wait() for caller in callers))
    quiet = asyncio.create_task(gate.quiet())

    callers[0].end.set()
    await all_has_run()
    was_quiet_early = quiet.done()
    callers[1].task.cancel()

    await asyncio.wait_for(quiet, 5)
    assert not was_quiet_early
    assert gate.calling == 0
