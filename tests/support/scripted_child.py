"""A runner that is a function on a thread, at the other end of a real socket."""

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from dspy_service.domain.frames import Frame, FrameReader, encode
from dspy_service.domain.workers import SandboxLevel

KILLED = -9
READY: Frame = {
    "t": "ready",
    "level": "L1",
    "applied": {"level": "L1", "fsize": 0, "core": 0, "no_new_privs": True, "dumpable": 0},
    "versions": {},
    "pid": 1,
}
RUNNING: Frame = {"t": "status", "status": "running"}
RESULT: Frame = {"t": "result", "result": {"module_name": "predict", "optimizer_name": "o"}}


class Peer:
    """The runner's end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.killed = threading.Event()
        self.suspended = threading.Event()
        self.free = threading.Event()
        """Set while it is not suspended; a script that computes waits for it."""
        self.free.set()
        self._reader = FrameReader()
        self._frames: list[Frame] = []

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self.sock.sendall(encode(frame))

    def send_raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> Frame:
        """Return the next frame; ConnectionError once the supervisor has closed."""
        while not self._frames:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def receive_job(self) -> tuple[Frame, list[Any]]:
        """Say ready and return the spec frame and all rows."""
        self.send(READY)
        spec, rows = self.receive(), []
        while True:
            frame = self.receive()
            rows += frame["rows"]
            if frame["last"]:
                return spec, rows


Script = Callable[[Peer], int | None]
"""Plays a runner; returns its exit code (None is 0)."""


class ScriptedChild:
    """Looks like ``workers.sandbox.launch.Child`` to a session."""

    level: SandboxLevel = "L1"
    pid = 2**22 + 1  # beyond what the kernel gives out: nobody's
    process = SimpleNamespace(stdout=None, stderr=None)

    def __init__(self, script: Script) -> None:
        self.sock, theirs = socket.socketpair()
        self._theirs = theirs
        self._peer = Peer(theirs)
        self._exit_code: int | None = None
        self._thread = threading.Thread(target=self._play, args=(script,), daemon=True)
        self._thread.start()

    def _play(self, script: Script) -> None:
        try:
            self._exit_code = script(self._peer) or 0
        except OSError:
            self._exit_code = KILLED  # its socket was shut down under it
        self._theirs.close()

    def is_alive(self) -> bool:
        return self._exit_code is None

    def suspend(self) -> None:
        self._peer.free.clear()
        self._peer.suspended.set()

    def resume(self) -> None:
        self._peer.suspended.clear()
        self._peer.free.set()

    def kill_group(self) -> int:
        self._peer.killed.set()
        if self._exit_code is None:
            with contextlib.suppress(OSError):  # it may have ended by itself just now
                self._theirs.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        assert self._exit_code is not None, "the script does not end when its socket does"
        return self._exit_code

    def kill(self) -> int:
        code = self.kill_group()
        self.sock.close()
        return code


METADATA: bytes = b'{"fields": []}'


def blobs(*, checkpoint: int | None = None, program: bytes = b"pickle") -> list[Frame]:
    """Return the frames of a whole artifact, one for each file."""
    files = {"program.json": b"{}", "program.pkl": program, "metadata.json": METADATA}
    return [
        {"t": "blob", "name": name, "data": base64.b64encode(data).decode(), "last": True, "checkpoint": checkpoint}
        for name, data in files.items()
    ]


def checkpoint(number: int, score: float, *, program: bytes | None = None, **result: object) -> list[Frame]:
    """Return the frames of one checkpoint, whose program is named after its number."""
    told = {**RESULT["result"], **result}
    files = blobs(checkpoint=number, program=program or b"best %d" % number)
    return [*files, {"t": "checkpoint", "number": number, "score": score, "result": told}]


def sleep_until_killed(peer: Peer) -> None:
    """Do nothing until the supervisor closes the socket."""
    while peer.sock.recv(65536):
        pass


async def settle() -> None:
    """Let every task that can run, run."""
    for _ in range(20):
        await asyncio.sleep(0)
