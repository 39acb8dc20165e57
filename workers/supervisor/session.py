"""One runner and one job, from the handshake to the last byte."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.frames import Frame, encode
from dspy_service.domain.result import Usage
from workers.sandbox.launch import Child
from workers.sandbox.levels import holds
from workers.supervisor.door import ModelDoor
from workers.supervisor.ending import (
    Ending,
    died_ending,
    failure_ending,
    protocol_ending,
    result_ending,
    time_limit_ending,
)
from workers.supervisor.feed import EventFeed
from workers.supervisor.files import FileCollector
from workers.supervisor.intake import EventIntake
from workers.supervisor.link import RunnerLink
from workers.supervisor.output import OutputReader

MAX_PENDING_CALLS: Final = 256
MAX_PENDING_BYTES: Final = 16 << 20
USAGE_SECONDS: Final = 2.0
_WATCH_SECONDS: Final = 0.2
_LAST_WORDS_SECONDS: Final = 0.5
_EXIT_POLL_SECONDS: Final = 0.01


@dataclass(frozen=True)
class SupervisionLimits:
    """How long a supervisor waits for what."""

    job_seconds: float = 24 * 3600.0
    """Wall time of one attempt."""
    ready_seconds: float = 60.0
    """Until a runner has warmed up; a second is usual."""
    cancel_grace_seconds: float = 1.0
    """Between a ``cancel`` frame and the kill."""
    num_threads: int = 8
    """Evaluation threads of a job that does not choose for itself."""


class RunnerNotReadyError(Exception):
    """A runner ended, or said something else, before it said that it was ready; no source was sent to it."""


class Session:
    """Relays between one child, the language models and the event feed. Use it on one event loop, once."""

    def __init__(self, child: Child, feed: EventFeed, door: ModelDoor, limits: SupervisionLimits) -> None:
        self._child = child
        self._feed = feed
        self._door = door
        self._limits = limits
        self._intake = EventIntake(feed)
        self._files = FileCollector()
        self._ready: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._link = RunnerLink(self._on_frame, self._must_wait)
        self._tasks: list[asyncio.Task[Any]] = []
        self._outputs: list[asyncio.Task[None]] = []
        self._reported: Usage | None = None
        self._has_job = False
        self._is_running = False
        self._is_gone = False

    @property
    def files(self) -> FileCollector:
        """The artifact's files so far."""
        return self._files

    async def open(self) -> None:
        """Attach to the child and check that it is confined as planned.

        Raises:
            RunnerNotReadyError: it is not; nothing of the job has been sent.
        """
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self._link, self._child.sock)
        for name, pipe in (("stdout", self._child.process.stdout), ("stderr", self._child.process.stderr)):
            if pipe is not None:
                reader = OutputReader(name, pipe, self._feed, lambda: self._has_job)
                self._outputs.append(loop.create_task(reader.run()))
        self._tasks += [loop.create_task(self._watch()), loop.create_task(self._report_usage())]
        await _first_of(self._ready, self._ending, timeout_seconds=self._limits.ready_seconds)
        if not self._ready.done():
            raise RunnerNotReadyError(self._why_not_ready())
        applied = self._ready.result().get("applied")
        if self._ready.result().get("level") != self._child.level or not isinstance(applied, dict):
            raise RunnerNotReadyError("It does not say how it is confined.")
        if not holds(self._child.level, applied):
            raise RunnerNotReadyError(f"It is not confined at level {self._child.level}: {applied}")

    async def run(self, opening: Iterable[bytes], cancel: asyncio.Event) -> Ending:
        """Send the job and wait for the first thing that ends it."""
        self._has_job = True
        sending = asyncio.create_task(self._send_all(opening))
        cancelled = asyncio.create_task(cancel.wait())
        self._tasks += [sending, cancelled]
        try:
            await _first_of(self._ending, cancelled, timeout_seconds=self._limits.job_seconds)
            if self._ending.done():
                return self._ending.result()
            if cancelled.done():
                return await self._cancel()
            return time_limit_ending(self._limits.job_seconds)
        finally:
            self._door.close_door()

    async def close(self) -> int:
        """Kill the child if it still lives, hear its last words, and return its exit code."""
        self._link.close()
        for task in self._tasks:
            task.cancel()
        self._child.kill_group()
        if self._outputs:
            await asyncio.wait(self._outputs, timeout=_LAST_WORDS_SECONDS)
        for task in self._outputs:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._outputs, return_exceptions=True)
        self._add_usage()
        return self._child.kill()

    def _on_frame(self, frame: Frame) -> None:
        if self._ending.done():
            return
        kind = frame["t"]
        if not self._ready.done():
            if kind != "ready":
                raise ProtocolError(f"The first frame is {kind[:40]!r}, not 'ready'.")
            self._ready.set_result(frame)
        elif kind == "lm":
            if not self._is_gone:
                self._door.ask(frame, self._reply)
        elif kind == "event":
            self._intake.take(frame)
        else:
            self._on_rare_frame(kind, frame)

    def _on_rare_frame(self, kind: str, frame: Frame) -> None:
        if kind == "failure":
            self._ending.set_result(failure_ending(frame))
        elif kind == "status" and frame.get("status") == "running" and not self._is_running:
            self._is_running = True
            self._feed.advance()
        elif kind == "blob" and self._is_running:
            self._files.take(frame)
        elif kind == "result" and self._is_running:
            self._ending.set_result(result_ending(frame))
        else:
            raise ProtocolError(f"A runner may not send a {kind[:40]!r} frame now.")

    def _must_wait(self) -> bool:
        door = self._door
        too_many = door.pending_calls > MAX_PENDING_CALLS or door.pending_bytes > MAX_PENDING_BYTES
        return self._feed.is_full or (too_many and not self._is_gone)

    def look_again(self) -> None:
        """Read on if there is room again; the feed calls this."""
        self._link.look_again()

    def _reply(self, data: bytes) -> None:
        self._link.send(data)
        self._link.look_again()

    async def _send_all(self, opening: Iterable[bytes]) -> None:
        for data in opening:
            self._link.send(data)
            await self._link.drain()

    async def _cancel(self) -> Ending:
        self._door.close_door()
        self._link.send(encode({"t": "cancel"}))
        await asyncio.wait({self._ending}, timeout=self._limits.cancel_grace_seconds)
        last = self._ending.result() if self._ending.done() else None
        return Ending("cancelled", result=last.result if last else None, reason="cancelled")

    async def _watch(self) -> None:
        """Notice the end of the child, however it comes; a grandchild may keep the socket open."""
        ended = self._link.ended
        while not ended.done() and self._child.is_alive():
            await asyncio.wait({ended}, timeout=_WATCH_SECONDS)
        self._is_gone = True
        self._link.look_again()
        while not ended.done() and not self._link.is_reading:
            await asyncio.wait({ended}, timeout=_WATCH_SECONDS)  # its last events wait until there is room
        await asyncio.wait({ended}, timeout=_LAST_WORDS_SECONDS)
        error = ended.result() if ended.done() else None
        exit_code = await self._exit_code() if error is None else None
        if self._ending.done():
            return
        if error is not None:
            self._ending.set_result(protocol_ending(error))
        elif self._link.is_mid_frame and (exit_code is None or exit_code >= 0):
            self._ending.set_result(protocol_ending("It ended in the middle of a frame."))
        else:
            self._ending.set_result(died_ending(exit_code))

    async def _exit_code(self) -> int | None:
        """Return the code of a child that has closed its socket; None if it lives on."""
        for _ in range(int(_LAST_WORDS_SECONDS / _EXIT_POLL_SECONDS)):
            if not self._child.is_alive():
                return self._child.kill_group()
            await asyncio.sleep(_EXIT_POLL_SECONDS)
        return None

    async def _report_usage(self) -> None:
        while True:
            await asyncio.sleep(USAGE_SECONDS)
            self._add_usage()

    def _add_usage(self) -> None:
        usage = self._door.usage()
        if usage == self._reported or not usage.roles:
            return
        self._reported = usage
        roles: dict[str, JsonValue] = {role: used.model_dump(mode="json") for role, used in usage.roles.items()}
        self._feed.add(NewEvent(type=EventType.USAGE, data={"roles": roles}))

    def _why_not_ready(self) -> str:
        if self._ending.done() and (failure := self._ending.result().failure) is not None:
            return failure.message
        with contextlib.suppress(asyncio.InvalidStateError):
            if (error := self._link.ended.result()) is not None:
                return str(error)
        return f"It was not ready after {self._limits.ready_seconds:g} s."


async def _first_of(*futures: asyncio.Future[Any], timeout_seconds: float) -> None:
    await asyncio.wait(futures, timeout=timeout_seconds, return_when="FIRST_COMPLETED")
