"""Runners that send anything at all: plans drawn by hypothesis, and the measuring of what they cost us."""

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.events import NewEvent
from dspy_service.domain.supervision import KeepBest, Reins, RunReport
from tests.support.claims import JOB_ID, new_job
from tests.support.scripted_child import READY, RESULT, RUNNING, Peer, Script, ScriptedChild
from tests.support.signed import SECRET_KEY
from tests.support.supervised import Doors, Kept
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits
from workers.supervisor.door import ModelDoor

_LENGTH = struct.Struct("!I")
_DRIP_SECONDS = 0.002


def packed(body: bytes) -> bytes:
    return _LENGTH.pack(len(body)) + body


def framed(value: Any) -> bytes:  # noqa: ANN401  # any JSON value, and what only Python takes for JSON
    return packed(json.dumps(value).encode())


@dataclass(frozen=True)
class Step:
    """Bytes that are sent ``times`` over, all at once or one by one."""

    data: bytes = field(repr=False)
    times: int = 1
    drips: bool = False


@dataclass(frozen=True)
class Attack:
    """What a runner does once it has its job, and how it leaves."""

    steps: Sequence[Step]
    leaving: str
    exit_code: int
    is_ready: bool = True
    """Whether it waits for its job at all."""

    def __call__(self, peer: Peer) -> int:
        peer.sock.settimeout(10)
        if self.is_ready:
            peer.receive_job()
        for step in self.steps:
            for _ in range(step.times):
                _send(peer, step)
        if self.leaving == "stays":
            peer.killed.wait(timeout=10)
        elif self.leaving == "closes":
            peer.sock.shutdown(socket.SHUT_RDWR)
            peer.killed.wait(timeout=10)
        return self.exit_code


def _send(peer: Peer, step: Step) -> None:
    if not step.drips:
        peer.send_raw(step.data)
        return
    for byte in step.data[:100]:
        peer.send_raw(bytes([byte]))
        time.sleep(_DRIP_SECONDS)  # the point of a drip


KINDS = ["ready", "lm", "status", "event", "blob", "checkpoint", "phase", "result", "failure", "spec", "cancel", ""]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(1e999),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
_USUAL = [
    READY,
    RESULT,
    {"t": "lm", "id": 1, "role": "task", "request": {"messages": []}, "rollout_id": None, "candidate": 0},
    {"t": "status", "status": "running"},
    {"t": "event", "type": "log", "data": {"level": "INFO", "logger": "l", "message": "\x1b[2J\u202e\r\nx"}},
    {"t": "event", "type": "progress", "data": {"event": "e\n\x07", "metrics": {"m\x1b\n": 1.0}}, "eta_seconds": 1},
    {"t": "event", "type": "candidate", "data": {"candidate": 1, "instructions": {"p": "\x9b31m"}}},
    {"t": "event", "type": "usage", "data": {"roles": {"task": {"calls": 0}}}},
    {"t": "blob", "name": "program.pkl", "data": "eHg=", "last": False},
    {"t": "blob", "name": "metadata.json", "data": "e30=", "last": True},
    {"t": "blob", "name": "program.json", "data": "e30=", "last": True, "checkpoint": 1},
    {"t": "checkpoint", "number": 1, "score": 0.5, "result": RESULT["result"]},
    {"t": "phase", "phase": "baseline"},
    {"t": "failure", "failure": {"kind": "k", "message": "m\x1b\n"}, "partial": None},
]


@st.composite
def _bent(draw: st.DrawFn) -> bytes:
    """A frame of ours with some fields replaced, removed or added."""
    frame = dict(draw(st.sampled_from(_USUAL)))
    names = [*frame, "type", "data", "name", "last", "extra"]
    for name in draw(st.lists(st.sampled_from(names), max_size=2)):
        frame[name] = draw(_JSON)
    for name in draw(st.lists(st.sampled_from(names), max_size=1)):
        frame.pop(name, None)
    return framed(frame)


_DEEP = st.builds(
    lambda depth, kind, inner: packed(b'{"t":"%b","data":' % kind + inner * depth),
    st.integers(1, 100_000),
    st.sampled_from([b"event", b"lm", b"result"]),
    st.sampled_from([b"[", b'{"a":', b'"\\"', b"1"]),
)
_RAW = st.one_of(
    st.binary(max_size=64),
    st.binary(max_size=64).map(packed),
    st.integers(0, 2**32 - 1).map(_LENGTH.pack),
    _JSON.map(framed),
    st.tuples(st.sampled_from(KINDS), _JSON).map(lambda pair: framed({"t": pair[0], "data": pair[1]})),
    _DEEP,
)
HONEST_END = framed(RUNNING) + framed(RESULT)
"""What a runner sends that has nothing more to do."""

_BYTES = st.one_of(
    st.just(HONEST_END),
    st.sampled_from(_USUAL).map(framed),
    _bent(),
    _RAW,
    st.tuples(_bent(), st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]]),
)
_STEPS = st.builds(
    Step, _BYTES, times=st.sampled_from([1] * 8 + [2, 1000]), drips=st.sampled_from([False] * 9 + [True])
)
ATTACKS = st.builds(
    Attack,
    st.lists(_STEPS, max_size=6),
    leaving=st.sampled_from(["exits"] * 5 + ["closes"] * 2 + ["stays"]),
    exit_code=st.sampled_from([0, 0, 1, -9, -11]),
    is_ready=st.sampled_from([True] * 9 + [False]),
)


class ForgetfulJobStore(MemoryJobStore):
    """Keeps the newest events only, so that what a test measures is the supervisor and not its store."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.appended = 0

    async def append(self, job_id: str, *, fence: int, events: Sequence[NewEvent], **view: Any) -> int:  # noqa: ANN401  # of the port
        self.appended += len(events)
        self.texts = [event.model_dump_json() for event in events[:50]]
        return await super().append(job_id, fence=fence, events=[], **view)


async def attempt(
    script: Script, *, door: ModelDoor | None = None, keep_best: KeepBest | None = None, **limits: float
) -> tuple[RunReport, ForgetfulJobStore]:
    """Run one attempt with scripted runners."""
    jobs = ForgetfulJobStore()
    await jobs.create(new_job())
    claim = await jobs.claim(JOB_ID, owner="w1", lease_seconds=60, sandbox_level="L1")
    assert claim is not None
    standby = Standby(lambda: ScriptedChild(script), keep=False)
    supervisor = JobSupervisor(
        standby=standby,
        level="L1",
        doors=Doors(door),
        catalogue=Registry(),
        artifacts=MemoryArtifactStore(),
        secret_key=SECRET_KEY,
        limits=SupervisionLimits(**{"ready_seconds": 1.0, "cancel_grace_seconds": 0.1, **limits}),
    )
    async with asyncio.timeout(30):
        report = await supervisor.run(claim, [], jobs=jobs, reins=Reins(), keep_best=keep_best or Kept())
    assert isinstance(report, RunReport)
    return report, jobs


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def peak() -> Iterator[list[int]]:
    """Give a list whose one entry is, afterwards, by how many bytes this process had grown at most."""
    before, grown, done = resident_bytes(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(timeout=0.005):
            grown[0] = max(grown[0], resident_bytes() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        done.set()
        thread.join()
