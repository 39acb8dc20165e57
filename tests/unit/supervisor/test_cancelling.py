"""Attempts that are cancelled: no further call, and the best program so far is kept."""

import asyncio

from dspy_service.domain.job import JobStatus
from dspy_service.domain.supervision import Halt, Reins
from tests.support.scripted_child import RESULT, RUNNING, Peer, blobs, checkpoint, sleep_until_killed
from tests.support.supervised import ScriptedDoor, ask, halting, run_attempt

_LONG = 3600.0


async def test_a_cancelled_job_stops_asking_and_keeps_what_the_runner_still_says() -> None:
    reins, door = Reins(), ScriptedDoor()
    cancel = halting(reins, Halt.CANCEL)
    closed = []

    def runner(peer: Peer) -> None:
        peer.receive_job()
        cancel()
        assert peer.receive() == {"t": "cancel"}
        closed.append(list(door.told))
        peer.send({"t": "failure", "failure": {"kind": "cancelled", "message": "m"}, "partial": RESULT["result"]})

    report, _ = await run_attempt(runner, reins=reins, door=door)

    assert (report.status, report.termination_reason, report.failure) == (JobStatus.CANCELLED, "cancelled", None)
    assert report.result.module_name == "predict"
    assert closed == [["close"]]


async def test_a_runner_that_does_not_heed_a_cancel_is_killed() -> None:
    reins = Reins()
    cancel = halting(reins, Halt.CANCEL)

    def runner(peer: Peer) -> None:
        peer.receive_job()
        cancel()
        sleep_until_killed(peer)

    started = asyncio.get_running_loop().time()
    report, _ = await run_attempt(runner, reins=reins)

    assert report.status is JobStatus.CANCELLED
    assert asyncio.get_running_loop().time() - started < 2


async def test_a_cancelled_job_keeps_its_best_program_so_far() -> None:
    reins = Reins()
    cancel = halting(reins, Halt.CANCEL)

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.25), *checkpoint(2, 0.5, optimization_metadata={"trials": 2}))
        peer.send(*blobs(checkpoint=3)[:2], *blobs()[:1])
        ask(peer)
        cancel()
        assert peer.receive() == {"t": "cancel"}
        partial = {**RESULT["result"], "details": {"metric_calls": 7}}
        peer.send({"t": "failure", "failure": {"kind": "cancelled", "message": "m"}, "partial": partial})

    report, _ = await run_attempt(runner, reins=reins)

    assert (report.status, report.termination_reason) == (JobStatus.CANCELLED, "cancelled")
    assert report.files["program.pkl"] == b"best 2"
    assert report.checkpoint_score == 0.5
    assert report.result.optimization_metadata == {"trials": 2}
    assert report.result.details == {"metric_calls": 7}


async def test_a_cancel_that_comes_after_the_last_file_keeps_the_whole_artifact() -> None:
    reins = Reins()
    cancel = halting(reins, Halt.CANCEL)

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.25), *blobs(program=b"final"))
        ask(peer)
        cancel()
        assert peer.receive() == {"t": "cancel"}
        peer.send({**RESULT, "result": {**RESULT["result"], "optimized_test_metric": 0.75}})

    report, _ = await run_attempt(runner, reins=reins)

    assert report.status is JobStatus.CANCELLED
    assert report.files["program.pkl"] == b"final"
    assert report.checkpoint_score is None
    assert report.result.optimized_test_metric == 0.75


async def test_a_cancel_takes_over_from_a_pause_that_is_going_on() -> None:
    reins, door = Reins(), ScriptedDoor(is_busy=True)
    pause, cancel = halting(reins, Halt.PAUSE), halting(reins, Halt.CANCEL)
    loop = asyncio.get_running_loop()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.5))
        pause()
        asyncio.run_coroutine_threadsafe(door.was_told("drain 3600"), loop).result()
        cancel()
        assert peer.receive() == {"t": "cancel"}
        peer.send({"t": "failure", "failure": {"kind": "cancelled", "message": "m"}, "partial": None})

    report, _ = await run_attempt(runner, reins=reins, door=door, pause_seconds=_LONG)

    assert report.status is JobStatus.CANCELLED
    assert report.files["program.pkl"] == b"best 1"
