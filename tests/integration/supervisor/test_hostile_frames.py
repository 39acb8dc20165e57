"""Whatever a runner sends, its job ends in time and as failed, and this process does not grow."""

import asyncio
import itertools
import time
from pathlib import Path

import pytest
from dspy.lm15 import Request, Response
from hypothesis import HealthCheck, given, settings

from dspy_service.domain.frames import encode
from dspy_service.domain.job import JobStatus
from dspy_service.domain.supervision import NoRunnerError, RunReport
from tests.support.hostile import ATTACKS, HONEST_END, Attack, Step, attempt, framed, packed, peak, resident_bytes
from tests.support.lm_calls import ScriptedEngine, broker, lm_frame, request
from tests.support.scripted_child import RESULT, RUNNING, Peer, checkpoint
from tests.support.supervised import Kept
from workers.supervisor.plain_text import escape

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is measured in /proc")

_MIB = 1 << 20
_MAX_GROWTH_BYTES = 32 * _MIB
_MAX_SECONDS = 6.0
_EXAMPLES = 400
_MAX_FRAME_BYTES = 4 * _MIB


class _Seen:
    """How often the law was tried, and how often a plan happened to hold a result."""

    examples = 0
    successes = 0


def _is_plain(json_text: str) -> bool:
    """Whether no text in it holds what moves a cursor: JSON writes the controls as escapes of its own."""
    return escape(json_text) == json_text and "\\u00" not in json_text.replace("\\\\", "")


async def _attempted(attack: Attack) -> tuple[RunReport, list[str]]:
    """Return how it ended, and what was written; a process that was never ready leaves the job, and says why."""
    try:
        report, jobs = await attempt(attack, job_seconds=2.0, stall_seconds=0.3)
    except NoRunnerError as error:
        return RunReport.failed("no_runner", str(error)), []
    return report, jobs.texts


@pytest.mark.slow
def test_any_bytes_at_all_end_the_job_as_failed_in_time_and_in_bounded_memory() -> None:
    seen = _Seen()

    @settings(max_examples=_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(ATTACKS)
    def holds(attack: Attack) -> None:
        started = time.monotonic()

        with peak() as grown:
            report, texts = asyncio.run(_attempted(attack))

        assert grown[0] < _MAX_GROWTH_BYTES
        assert time.monotonic() - started < _MAX_SECONDS
        if report.status is JobStatus.SUCCESS:
            assert report.result is not None
            assert any(b'"result"' in step.data for step in attack.steps)
            seen.successes += 1
        else:
            assert report.status is JobStatus.FAILED
            assert report.failure is not None
            assert escape(report.failure.message) == report.failure.message
            assert "\n" not in report.failure.message
        assert all(_is_plain(text) for text in texts)
        seen.examples += 1

    holds()

    assert seen.examples >= _EXAMPLES
    assert 0 < seen.successes < seen.examples / 2


def test_one_hostile_job_after_another_leaves_nothing_behind() -> None:
    attacks = [
        Attack([Step(HONEST_END)], "exits", 0),
        Attack([Step(b"x" * 100)], "closes", 0),
        Attack([Step(framed({"t": "ready"}))], "exits", 1),
        Attack([Step(framed({"t": "event", "type": "log", "data": {}}), times=1000)], "exits", -9),
        Attack([Step(encode(lm_frame(1, "x" * 100_000)), times=20)], "exits", 1),
    ]

    def one_of_each() -> None:
        for attack in attacks:
            asyncio.run(attempt(attack))

    one_of_each()
    before = resident_bytes()
    for _ in range(40):
        one_of_each()

    assert resident_bytes() - before < _MAX_GROWTH_BYTES / 2


def _text_frame(text: str, size: int) -> bytes:
    """A question whose text is as long as a frame may be."""
    return encode(lm_frame(1, text * (size // len(text.encode()))))


FLOODS = {
    "questions that nobody answers": encode(lm_frame(1, "x" * 10_000)),
    "questions to a model that is not there": encode(lm_frame(1, "x" * 100, role="nobody")),
    "a refused question": encode({**lm_frame(1), "request": {**request(), "headers": {}}}),
    "questions of four megabytes": _text_frame("x", _MAX_FRAME_BYTES - 1024),
    "questions whose every letter takes four bytes": _text_frame("x" * 1000 + "🎉", _MAX_FRAME_BYTES - 1024),
    "empty events": framed({"t": "event", "type": "trial", "data": {}}),
    "large events": framed({"t": "event", "type": "trial", "data": {"x": "y" * 250_000}}),
    "events that are too large": framed({"t": "event", "type": "trial", "data": {"x": "y" * 300_000}}),
    "events of many values": framed({"t": "event", "type": "trial", "data": {"x": [[]] * 4_000}}),
    "events of too many values": framed({"t": "event", "type": "trial", "data": {"x": [[]] * 90_000}}),
    "metrics with long names": framed(
        {"t": "event", "type": "progress", "data": {"event": "e" * 9_000, "metrics": {"m" * 200_000: 1}}}
    ),
    "log lines": framed({"t": "event", "type": "log", "data": {"level": "INFO", "logger": "l", "message": "\x1b"}}),
    "long log lines": framed({"t": "event", "type": "log", "data": {"message": "\x1b" * 200_000}}),
    "pieces of nothing": framed({"t": "blob", "name": "program.pkl", "data": "", "last": False}),
    "pieces of a file": framed({"t": "blob", "name": "program.pkl", "data": "A" * _MIB, "last": False}),
    "a state again and again": framed({"t": "status", "status": "running"}),
    "lists in a frame": packed(b'{"t":"event","data":[' + b"[]," * _MIB + b"0]}"),
    "objects in a string that never ends": packed(b'{"t":"event","data":"' + b'\\"' * (2 * _MIB - 100)),
    "a frame that announces too much": packed(b"x" * 8)[:2] + b"\xff" * _MIB,
}


@pytest.mark.parametrize("data", FLOODS.values(), ids=FLOODS.keys())
def test_no_flood_makes_this_process_grow(data: bytes) -> None:
    async def never(_request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def flooded() -> JobStatus:
        door = broker(ScriptedEngine(never))
        report, _ = await attempt(Attack([Step(data, times=10**9)], "exits", 0), door=door, job_seconds=1.0)
        return report.status

    asyncio.run(attempt(Attack([Step(HONEST_END)], "exits", 0)))  # what the first job of all costs does not count
    with peak() as grown:
        status = asyncio.run(flooded())

    assert status is JobStatus.FAILED
    assert grown[0] < _MAX_GROWTH_BYTES


def test_a_flood_of_checkpoints_is_neither_kept_in_memory_nor_stored() -> None:
    sent = []

    def flood(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING)
        for number in itertools.count(1):
            peer.send(*checkpoint(number, float(number), program=b"x" * (2 * _MIB)))
            sent.append(number)

    async def flooded() -> tuple[JobStatus, int]:
        kept = Kept()
        report, _ = await attempt(flood, keep_best=kept, job_seconds=2.0)
        return report.status, len(kept.numbers)

    asyncio.run(attempt(Attack([Step(HONEST_END)], "exits", 0)))  # what the first job of all costs does not count
    with peak() as grown:
        status, stored = asyncio.run(flooded())

    assert status is JobStatus.FAILED
    assert len(sent) > 5
    assert stored <= 3
    assert grown[0] < _MAX_GROWTH_BYTES


@pytest.mark.parametrize("length", range(0, len(HONEST_END), 7))
def test_a_stream_that_breaks_off_anywhere_is_a_failed_job(length: int) -> None:
    attack = Attack([Step(HONEST_END[:length])], "exits", 0)

    report, _ = asyncio.run(attempt(attack))

    assert report.status is JobStatus.FAILED


def test_a_result_that_comes_byte_by_byte_counts() -> None:
    steps = [Step(framed(RUNNING)), Step(framed(RESULT), drips=True)]

    report, _ = asyncio.run(attempt(Attack(steps, "exits", 0)))

    assert report.status is JobStatus.SUCCESS
