"""How an attempt is steered."""

import asyncio
import itertools

import pytest

from dspy_service.domain.supervision import Halt, Reins
from tests.support.scripted_child import settle


async def test_reins_are_free_until_somebody_pulls_them() -> None:
    reins = Reins()

    await reins.free()

    assert reins.why is None
    assert not reins.is_held


@pytest.mark.parametrize("order", list(itertools.permutations(Halt)))
async def test_the_most_urgent_reason_stands_whatever_comes_first(order: tuple[Halt, ...]) -> None:
    reins = Reins()

    for why in order:
        reins.halt(why)

    assert reins.why is Halt.CANCEL
    assert await reins.halted() is Halt.CANCEL


async def test_everybody_who_waits_hears_of_a_halt() -> None:
    reins = Reins()
    waiting = [asyncio.create_task(reins.halted()) for _ in range(2)]
    await settle()

    reins.halt(Halt.PAUSE)

    assert await asyncio.gather(*waiting) == [Halt.PAUSE, Halt.PAUSE]


async def test_whoever_stops_for_one_reason_hears_of_a_more_urgent_one_only() -> None:
    reins = Reins()
    reins.halt(Halt.HAND_BACK)
    waiting = asyncio.create_task(reins.halted(beyond=Halt.HAND_BACK))
    await settle()
    reins.halt(Halt.PAUSE)
    await settle()
    assert not waiting.done()

    reins.halt(Halt.CANCEL)

    assert await waiting is Halt.CANCEL


async def test_holding_and_letting_go_are_heard() -> None:
    reins = Reins()
    holding = asyncio.create_task(reins.held())
    await settle()
    assert not holding.done()

    reins.hold()
    await holding
    letting_go = asyncio.create_task(reins.free())
    await settle()
    was_held = reins.is_held
    reins.go_on()
    await letting_go

    assert was_held
    assert not reins.is_held
