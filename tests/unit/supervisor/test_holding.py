"""Attempts that stand still while nobody knows who holds their lease."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dspy_service.domain.job import JobStatus
from dspy_service.domain.supervision import Halt, Interrupted, Reins
from tests.support.lm_calls import lm_frame
from tests.support.scripted_child import RESULT, RUNNING, Peer, sleep_until_killed
from tests.support.supervised import ScriptedDoor, run_attempt


def _on_loop() -> Callable[..., None]:
    """Return how a script does something on the supervisor's loop."""
    loop = asyncio.get_running_loop()

    def do(act: Callable[..., Any], *arguments: object) -> None:
        loop.call_soon_threadsafe(act, *arguments)

    return do


async def test_a_held_attempt_calls_no_model_and_its_runner_stands_still_until_it_may_go_on() -> None:
    reins, door, do = Reins(), ScriptedDoor(), _on_loop()
    seen = []

    def runner(peer: Peer) -> None:
        peer.receive_job()
        do(reins.hold)
        assert peer.suspended.wait(timeout=10)
        seen.append((list(door.told), peer.free.is_set()))
        do(reins.go_on)
        assert peer.free.wait(timeout=10)
        peer.send(lm_frame(1))
        assert peer.receive()["t"] == "answer"
        peer.send(RUNNING, RESULT)

    report, _ = await run_attempt(runner, reins=reins, door=door)

    assert seen == [(["hold"], False)]
    assert door.told[:2] == ["hold", "go_on"]
    assert report.status is JobStatus.SUCCESS


async def test_an_attempt_may_be_held_again() -> None:
    reins, door, do = Reins(), ScriptedDoor(), _on_loop()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        for _ in range(3):
            do(reins.hold)
            assert peer.suspended.wait(timeout=10)
            do(reins.go_on)
            assert peer.free.wait(timeout=10)
        peer.send(RUNNING, RESULT)

    report, _ = await run_attempt(runner, reins=reins, door=door)

    assert report.status is JobStatus.SUCCESS
    assert door.told[:6] == ["hold", "go_on"] * 3


@pytest.mark.parametrize("limits", [{"job_seconds": 0.3}, {"stall_seconds": 0.3}], ids=["limit", "stall"])
async def test_time_stands_still_while_an_attempt_is_held(limits: dict[str, float]) -> None:
    reins, do = Reins(), _on_loop()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        do(reins.hold)
        assert peer.suspended.wait(timeout=10)
        assert not peer.killed.wait(timeout=0.8)  # it would have been killed after 0.3 s and a look of 0.1 s
        do(reins.go_on)
        assert peer.free.wait(timeout=10)
        peer.send(RUNNING, RESULT)

    report, _ = await run_attempt(runner, reins=reins, **limits)

    assert report.status is JobStatus.SUCCESS


async def test_a_runner_that_is_killed_while_it_stands_still_is_noticed_within_two_seconds() -> None:
    reins, do, loop = Reins(), _on_loop(), asyncio.get_running_loop()
    killed_at = []

    def runner(peer: Peer) -> int:
        peer.receive_job()
        do(reins.hold)
        assert peer.suspended.wait(timeout=10)
        killed_at.append(loop.time())
        return -9

    report, _ = await run_attempt(runner, reins=reins)

    assert report.failure.kind == "runner_died"
    assert loop.time() - killed_at[0] < 2


async def test_a_held_attempt_that_is_cancelled_does_not_wait_for_its_runner() -> None:
    reins, do = Reins(), _on_loop()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        do(reins.hold)
        assert peer.suspended.wait(timeout=10)
        do(reins.halt, Halt.CANCEL)
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner, reins=reins, cancel_grace_seconds=3600.0)

    assert report.status is JobStatus.CANCELLED


async def test_a_held_attempt_can_be_handed_back() -> None:
    reins, do, door = Reins(), _on_loop(), ScriptedDoor()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        do(reins.hold)
        assert peer.suspended.wait(timeout=10)
        do(reins.halt, Halt.HAND_BACK)
        sleep_until_killed(peer)

    outcome, _ = await run_attempt(runner, reins=reins, door=door)

    assert outcome == Interrupted(Halt.HAND_BACK)
    assert "go_on" not in door.told


async def test_an_attempt_that_is_held_from_the_start_begins_when_it_may() -> None:
    reins, do, door = Reins(), _on_loop(), ScriptedDoor()
    reins.hold()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        assert peer.suspended.wait(timeout=10)
        do(reins.go_on)
        assert peer.free.wait(timeout=10)
        peer.send(RUNNING, RESULT)

    report, _ = await run_attempt(runner, reins=reins, door=door)

    assert report.status is JobStatus.SUCCESS
    assert door.told[:2] == ["hold", "go_on"]
