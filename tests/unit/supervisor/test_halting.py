"""Attempts that are told to stop before their end."""

import asyncio

import pytest

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.events import EventType
from dspy_service.domain.job import Claim, JobStatus
from dspy_service.domain.supervision import Checkpoint, Halt, Interrupted, Reins
from tests.support.claims import JOB_ID, claimed, told
from tests.support.scripted_child import RESULT, RUNNING, Peer, blobs, checkpoint, sleep_until_killed
from tests.support.supervised import (
    Kept,
    ScriptedDoor,
    ask,
    halted,
    halting,
    log_frame,
    run_attempt,
    scripted_supervisor,
)

_LONG = 3600.0


@pytest.mark.parametrize("why", list(Halt))
async def test_an_attempt_that_is_halted_from_the_start_gives_its_runner_no_job(why: Halt) -> None:
    sent = []

    def runner(peer: Peer) -> None:
        while data := peer.sock.recv(65536):
            sent.append(data)

    started = asyncio.get_running_loop().time()
    outcome, _ = await run_attempt(runner, reins=halted(why), cancel_grace_seconds=_LONG)

    assert asyncio.get_running_loop().time() - started < 5
    assert b"signature_code" not in b"".join(sent)
    if why is Halt.CANCEL:
        assert outcome.status is JobStatus.CANCELLED
    else:
        assert outcome == Interrupted(why)


async def test_a_halt_does_not_wait_for_a_runner_to_get_ready() -> None:
    reins = Reins()
    hand_back = halting(reins, Halt.HAND_BACK)

    def runner(peer: Peer) -> None:
        hand_back()
        sleep_until_killed(peer)

    door = ScriptedDoor()
    outcome, _ = await run_attempt(runner, reins=reins, door=door, ready_seconds=_LONG)

    assert outcome == Interrupted(Halt.HAND_BACK)


@pytest.mark.parametrize("why", list(Halt))
async def test_a_halt_does_not_wait_for_a_journal_that_cannot_be_read(why: Halt) -> None:
    class Stuck:
        async def open(self, _claim: Claim, **_tail: object) -> ScriptedDoor:
            await asyncio.Event().wait()
            raise AssertionError

    jobs, claim = await claimed()
    supervisor, standby = scripted_supervisor()
    supervisor._doors = Stuck()
    reins = Reins()
    running = asyncio.create_task(supervisor.run(claim, [], jobs=jobs, reins=reins, keep_best=Kept()))
    await asyncio.sleep(0)

    reins.halt(why)
    outcome = await asyncio.wait_for(running, timeout=5)

    standby.close()
    if why is Halt.CANCEL:
        assert outcome.status is JobStatus.CANCELLED
    else:
        assert outcome == Interrupted(why)


@pytest.mark.parametrize(("why", "seconds"), [(Halt.PAUSE, 60), (Halt.HAND_BACK, 5)])
async def test_a_gentle_stop_lets_calls_in_flight_end_while_the_runner_computes_on(why: Halt, seconds: int) -> None:
    reins, door = Reins(), ScriptedDoor(is_busy=True)
    halt, loop = halting(reins, why), asyncio.get_running_loop()
    heard = []

    def runner(peer: Peer) -> None:
        peer.receive_job()
        halt()
        asyncio.run_coroutine_threadsafe(door.was_told(f"drain {seconds}"), loop).result()
        peer.send(RUNNING, log_frame("still here"))
        ask(peer)
        loop.call_soon_threadsafe(door.drained.set)
        heard.append(peer.sock.recv(65536))

    outcome, jobs = await run_attempt(runner, reins=reins, door=door)

    assert outcome == Interrupted(why)
    assert door.told == [f"drain {seconds}", "close"]
    assert [data["message"] for data in await told(jobs, EventType.LOG)] == ["still here"]
    assert (await jobs.get(JOB_ID)).status is JobStatus.RUNNING
    assert heard == [b""]


@pytest.mark.parametrize("limit", ["pause_seconds", "hand_back_seconds"])
async def test_a_gentle_stop_has_an_end_when_calls_in_flight_have_none(limit: str) -> None:
    reins = Reins()
    why = Halt.PAUSE if limit == "pause_seconds" else Halt.HAND_BACK
    halt = halting(reins, why)

    def runner(peer: Peer) -> None:
        peer.receive_job()
        halt()
        sleep_until_killed(peer)

    started = asyncio.get_running_loop().time()
    outcome, _ = await run_attempt(runner, reins=reins, door=ScriptedDoor(is_busy=True), **{limit: 0.2})

    assert outcome == Interrupted(why)
    assert asyncio.get_running_loop().time() - started < 2


@pytest.mark.parametrize("limit", ["pause_seconds", "hand_back_seconds"])
async def test_neither_the_way_to_running_nor_a_gentle_stop_is_running_time(limit: str) -> None:
    reins = Reins()
    halt = halting(reins, Halt.PAUSE if limit == "pause_seconds" else Halt.HAND_BACK)

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.killed.wait(timeout=0.2)
        peer.send(RUNNING)
        ask(peer)
        halt()
        sleep_until_killed(peer)

    started = asyncio.get_running_loop().time()
    await run_attempt(runner, reins=reins, door=ScriptedDoor(is_busy=True), **{limit: 0.5})
    ended = asyncio.get_running_loop().time()

    assert 0 < reins.running_seconds <= ended - started - 0.2 - 0.5


async def test_a_worker_that_goes_away_shortens_a_pause() -> None:
    reins, door = Reins(), ScriptedDoor(is_busy=True)
    pause, hand_back = halting(reins, Halt.PAUSE), halting(reins, Halt.HAND_BACK)
    loop = asyncio.get_running_loop()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        pause()
        asyncio.run_coroutine_threadsafe(door.was_told("drain 3600"), loop).result()
        hand_back()
        sleep_until_killed(peer)

    outcome, _ = await run_attempt(runner, reins=reins, door=door, pause_seconds=_LONG, hand_back_seconds=0.1)

    assert outcome == Interrupted(Halt.HAND_BACK)


async def test_a_job_that_ends_while_it_is_paused_has_ended() -> None:
    reins, door = Reins(), ScriptedDoor(is_busy=True)
    pause, loop = halting(reins, Halt.PAUSE), asyncio.get_running_loop()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        pause()
        asyncio.run_coroutine_threadsafe(door.was_told("drain 3600"), loop).result()
        peer.send(RUNNING, *blobs(), RESULT)

    report, _ = await run_attempt(runner, reins=reins, door=door, pause_seconds=_LONG)

    assert (report.status, report.termination_reason) == (JobStatus.SUCCESS, "completed")


@pytest.mark.parametrize("why", [Halt.PAUSE, Halt.HAND_BACK])
async def test_a_runner_that_dies_during_a_hand_back_has_not_failed_but_one_that_is_paused_has(why: Halt) -> None:
    reins, door = Reins(), ScriptedDoor(is_busy=True)
    halt, loop = halting(reins, why), asyncio.get_running_loop()

    def runner(peer: Peer) -> int:
        peer.receive_job()
        halt()
        asyncio.run_coroutine_threadsafe(door.was_told("drain 3600"), loop).result()
        return -15

    outcome, _ = await run_attempt(runner, reins=reins, door=door, pause_seconds=_LONG, hand_back_seconds=_LONG)

    if why is Halt.HAND_BACK:
        assert outcome == Interrupted(why)
    else:
        assert outcome.failure.kind == "runner_died"


async def test_a_pause_stores_the_best_program_that_waits() -> None:
    reins, door, kept = Reins(), ScriptedDoor(), Kept()
    pause, loop = halting(reins, Halt.PAUSE), asyncio.get_running_loop()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.25))
        asyncio.run_coroutine_threadsafe(kept.has(1), loop).result()
        peer.send(*checkpoint(2, 0.5))
        ask(peer)
        pause()
        sleep_until_killed(peer)

    outcome, _ = await run_attempt(runner, reins=reins, door=door, keep_best=kept)

    assert outcome == Interrupted(Halt.PAUSE)
    assert kept.numbers == [1, 2]


async def test_a_gentle_stop_does_not_wait_for_ever_for_a_store_that_is_away() -> None:
    reins, door = Reins(), ScriptedDoor()
    hand_back = halting(reins, Halt.HAND_BACK)

    async def away(_checkpoint: Checkpoint) -> None:
        raise StoreUnavailableError("artifact store")

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.25))
        ask(peer)
        hand_back()
        sleep_until_killed(peer)

    outcome, _ = await run_attempt(runner, reins=reins, door=door, keep_best=away, hand_back_seconds=0.1)

    assert outcome == Interrupted(Halt.HAND_BACK)


async def test_no_runner_is_warmed_when_the_worker_goes_away() -> None:
    jobs, claim = await claimed()
    supervisor, standby = scripted_supervisor()

    await supervisor.run(claim, [], jobs=jobs, reins=halted(Halt.HAND_BACK), keep_best=Kept())

    assert standby._waiting is None


async def test_calls_in_flight_when_a_runner_dies_may_end_so_that_a_retry_finds_their_answers() -> None:
    door, was_open = ScriptedDoor(is_busy=True), []

    def runner(peer: Peer) -> int:
        peer.receive_job()
        return -9

    async def answer_in_flight() -> None:
        await door.was_told("drain 1")
        was_open.append("close" not in door.told)
        door.drained.set()

    answering = asyncio.create_task(answer_in_flight())
    report, _ = await run_attempt(runner, door=door)
    await answering

    assert report.failure.kind == "runner_died"
    assert was_open == [True]
