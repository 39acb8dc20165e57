"""Runners that die, lie, flood or fall silent."""

import asyncio
import contextlib
import socket

import pytest

from dspy_service.domain.events import EventType
from dspy_service.domain.frames import Frame, encode
from dspy_service.domain.job import JobStatus
from dspy_service.domain.supervision import NoRunnerError
from tests.support.claims import told
from tests.support.lm_calls import lm_frame
from tests.support.scripted_child import KILLED, READY, RESULT, RUNNING, Peer, sleep_until_killed
from tests.support.supervised import ScriptedDoor, log_frame, run_attempt
from workers.supervisor import SupervisionLimits


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-200, "signal 200")],
)
async def test_a_runner_that_ends_without_a_result_has_failed(exit_code: int, words: str) -> None:
    def runner(peer: Peer) -> int:
        peer.receive_job()
        peer.send(log_frame("last words"))
        return exit_code

    started = asyncio.get_running_loop().time()
    report, jobs = await run_attempt(runner)

    assert report.failure.kind == "runner_died"
    assert words in report.failure.message
    assert [data["message"] for data in await told(jobs, EventType.LOG)] == ["last words"]
    assert asyncio.get_running_loop().time() - started < 2


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02{]",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02{}",
        b'\x00\x00\x00\x0a{"t":"\xff\xff"}',
        encode({"t": "unheard-of"}),
        encode({"t": "ready"}),
        encode({"t": "status", "status": "success"}),
        encode({"t": "result", "result": {"module_name": 3}}),
        encode({"t": "result"}),
        encode({"t": "failure", "failure": None}),
        encode({"t": "failure", "failure": {"kind": "k", "message": "m"}, "partial": 3}),
        encode({"t": "event", "type": "state", "data": {"status": "success"}}),
        encode({"t": "blob", "name": "../x", "data": "", "last": True}),
        encode({"t": "lm", "id": "x"}),
        encode({"t": "phase", "phase": "compile"}),
        encode({"t": "checkpoint", "number": 1, "score": 0.5, "result": {}}),
        encode({"t": "stop", "reason": "budget_exhausted"}),
        b"\x00\x00\x10\x00" + b"[" * 4096,
    ],
)
async def test_bytes_that_are_no_frames_of_ours_end_the_job(garbage: bytes) -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send_raw(garbage)
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner)

    assert (report.status, report.failure.kind) == (JobStatus.FAILED, "protocol_error")


async def test_a_frame_that_breaks_off_is_a_broken_protocol() -> None:
    def runner(peer: Peer) -> int:
        peer.receive_job()
        peer.send_raw(encode(RESULT)[:-3])
        return 0

    report, _ = await run_attempt(runner)

    assert report.failure.kind == "protocol_error"


async def test_a_killed_runner_is_told_as_killed_even_in_the_middle_of_a_frame() -> None:
    def runner(peer: Peer) -> int:
        peer.receive_job()
        peer.send_raw(encode(RESULT)[:-3])
        return KILLED

    report, _ = await run_attempt(runner)

    assert report.failure.kind == "runner_died"


async def test_a_runner_that_closes_its_socket_and_lives_on_is_ended() -> None:
    closed = []

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.sock.shutdown(socket.SHUT_WR)
        closed.append(peer.killed.wait(timeout=5))

    report, _ = await run_attempt(runner)

    assert "closed its connection" in report.failure.message
    assert closed == [True]


async def test_what_comes_after_the_end_does_not_count() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, RESULT, {"t": "failure", "failure": {"kind": "k", "message": "m"}, "partial": None})
        peer.send_raw(b"\xff\xff\xff\xff")

    report, _ = await run_attempt(runner)

    assert report.status is JobStatus.SUCCESS


async def test_a_flood_of_calls_blocks_the_runner_and_not_us() -> None:
    door, sent = ScriptedDoor(None), []

    def runner(peer: Peer) -> int:
        peer.receive_job()
        peer.sock.settimeout(1.0)
        try:
            for number in range(100_000):
                peer.send(lm_frame(number, "x" * 10_000))
                sent.append(number)
        except TimeoutError:
            pass  # the supervisor has stopped reading, as it should
        return 1

    await run_attempt(runner, door=door)

    most = SupervisionLimits().pending_calls
    assert most < door.asked < most + 100
    assert len(sent) < 5_000


async def test_a_runner_that_never_reads_its_answers_is_held_back() -> None:
    sent = []

    def runner(peer: Peer) -> int:
        peer.receive_job()
        peer.sock.settimeout(1.0)
        try:
            for number in range(100_000):
                peer.send(lm_frame(number, "the same question", rollout_id="x" * 1000))
                sent.append(number)
        except TimeoutError:
            pass
        return 1

    report, _ = await run_attempt(runner, door=ScriptedDoor("y" * 100_000))

    assert report.failure.kind == "runner_died"
    assert len(sent) < 5_000


@pytest.mark.parametrize(
    "frames",
    [
        (RESULT,),
        ({"t": "blob", "name": "program.pkl", "data": "", "last": True},),
        (RUNNING, RUNNING),
    ],
)
async def test_a_runner_that_skips_or_repeats_a_stage_fails_its_job(frames: tuple[Frame, ...]) -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(*frames)
        peer.killed.wait(10)

    report, _ = await run_attempt(runner)

    assert report.status is JobStatus.FAILED
    assert report.failure.kind == "protocol_error"


@pytest.mark.parametrize(
    "ready",
    [
        {**READY, "level": "L2"},
        {**READY, "applied": {**READY["applied"], "fsize": 1}},
        {**READY, "applied": {**READY["applied"], "level": "L0"}},
        {**READY, "applied": None},
        RESULT,
    ],
)
async def test_a_runner_that_is_not_confined_as_planned_gets_no_source(ready: Frame) -> None:
    received = []

    def runner(peer: Peer) -> None:
        peer.send(ready)
        with contextlib.suppress(ConnectionError):
            received.append(peer.receive())

    with pytest.raises(NoRunnerError):
        await run_attempt(runner, runner)

    assert received == []


async def test_a_runner_that_is_never_ready_is_given_up() -> None:
    with pytest.raises(NoRunnerError, match=r"not ready after 0\.1 s"):
        await run_attempt(sleep_until_killed, sleep_until_killed, ready_seconds=0.1)


async def test_a_standby_runner_that_dies_at_once_is_replaced() -> None:
    def good(peer: Peer) -> None:
        peer.receive_job()
        peer.send(lm_frame(1))
        peer.receive()
        peer.send(RUNNING, RESULT)

    report, _ = await run_attempt(lambda _peer: 1, good)

    assert report.status is JobStatus.SUCCESS
