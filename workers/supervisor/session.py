"""One runner and one job, from the handshake to the last byte."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from pydantic import JsonValue

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.frames import Frame, encode
from dspy_service.domain.result import Usage
from workers.sandbox.launch import Child
from workers.sandbox.levels import holds
from workers.supervisor.departure import confirmed, departed
from workers.supervisor.door import ModelDoor
from workers.supervisor.ending import Ending, failure_ending, internal_ending, result_ending, time_limit_ending
from workers.supervisor.feed import EventFeed
from workers.supervisor.files import FileCollector
from workers.supervisor.intake import PROGRESS_TYPES, EventIntake
from workers.supervisor.limits import SupervisionLimits
from workers.supervisor.link import RunnerLink
from workers.supervisor.output import OutputReader
from workers.supervisor.plain_data import plain
from workers.supervisor.plain_text import one_line
from workers.supervisor.watchdog import Watchdog, set_kernel_limits, starved

USAGE_SECONDS: Final = 2.0
_LAST_WORDS_SECONDS: Final = 0.5


_log: Final = logging.getLogger(__name__)


class RunnerNotReadyError(Exception):
    """A runner ended, or said something else, before it said that it was ready; no source was sent to it."""


class Session:
    """Relays between one child, the language models and the event feed. Use it on one event loop, once."""

    def __init__(self, child: Child, feed: EventFeed, door: ModelDoor, limits: SupervisionLimits) -> None:
        self._child = child
        self._feed = feed
        self._door = door
        self._limits = limits
        self._intake = EventIntake(feed, limits)
        self._files = FileCollector(limits.artifact_bytes)
        self._watchdog = Watchdog(child.pid, limits, self._is_held_up)
        self._ready: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._link = RunnerLink(self._on_frame, self._must_wait, max_frame_bytes=limits.frame_bytes)
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

    @property
    def versions(self) -> dict[str, str]:
        """What the runner is made of, as it said before it knew any submitted code; empty until it is ready."""
        told = plain(self._ready.result().get("versions")).value if self._ready.done() else None
        return {name: one_line(str(version)) for name, version in told.items()} if isinstance(told, dict) else {}

    async def open(self) -> None:
        """Attach to the child and check that it is confined as planned.

        Raises:
            RunnerNotReadyError: it is not; nothing of the job has been sent.
        """
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self._link, self._child.sock)
        for name, pipe in (("stdout", self._child.process.stdout), ("stderr", self._child.process.stderr)):
            if pipe is not None:
                reader = OutputReader(
                    name, pipe, self._feed, max_bytes=self._limits.output_bytes, is_job=lambda: self._has_job
                )
                self._outputs.append(loop.create_task(reader.run()))
        self._keep(loop.create_task(self._watch()), loop.create_task(self._report_usage()))
        await _first_of(self._ready, self._ending, timeout_seconds=self._limits.ready_seconds)
        if not self._ready.done():
            raise RunnerNotReadyError(self._why_not_ready())
        applied = self._ready.result().get("applied")
        if self._ready.result().get("level") != self._child.level or not isinstance(applied, dict):
            raise RunnerNotReadyError("It does not say how it is confined.")
        if not holds(self._child.level, applied):
            raise RunnerNotReadyError(
                one_line(f"It is not confined at level {self._child.level}: {applied}", max_chars=500)
            )

    async def run(self, opening: Iterable[bytes], cancel: asyncio.Event) -> Ending:
        """Send the job and wait for the first thing that ends it."""
        self._has_job = True
        set_kernel_limits(self._child.pid, self._limits)
        sending = asyncio.create_task(self._send_all(opening))
        cancelled = asyncio.create_task(cancel.wait())
        watching = asyncio.create_task(self._watchdog.run())
        self._keep(sending, cancelled, watching)
        try:
            await _first_of(self._ending, cancelled, watching, timeout_seconds=self._limits.job_seconds)
            if self._ending.done():
                return await self._ended(self._ending.result())
            if cancelled.done():
                return await self._cancel()
            return watching.result() if watching.done() else time_limit_ending(self._limits.job_seconds)
        finally:
            self._door.close_door()

    async def _ended(self, ending: Ending) -> Ending:
        if ending.how == "result":
            self._door.close_door()
            return await confirmed(self._child, ending)
        messages = starved(self._limits)
        if ending.failure is not None and ending.failure.kind in messages:  # the kernel was faster than the watchdog
            failure = ending.failure.model_copy(update={"message": messages[ending.failure.kind]})
            return replace(ending, failure=failure)
        return ending

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

    def _keep(self, *tasks: asyncio.Task[Any]) -> None:
        """Hold on to tasks of this session; one that fails by a bug of ours must end the job, not be lost."""
        for task in tasks:
            self._tasks.append(task)
            task.add_done_callback(self._notice_bug)

    def _notice_bug(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        _log.error("A part of a job's supervision failed.", exc_info=error)
        if not self._ending.done():
            self._ending.set_result(internal_ending())

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
                self._watchdog.note_progress()
                self._door.ask(frame, self._reply)
        elif kind == "event":
            if self._intake.take(frame) in PROGRESS_TYPES:
                self._watchdog.note_progress()
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
        self._watchdog.note_progress()

    def _must_wait(self) -> bool:
        door, limits = self._door, self._limits
        too_many = door.pending_calls > limits.pending_calls or door.pending_bytes > limits.pending_bytes
        return self._feed.is_full or (too_many and not self._is_gone)

    def _is_held_up(self) -> bool:
        return self._door.pending_calls > 0 or self._feed.is_full

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
        ending = await departed(self._child, self._link, on_gone=self._gone)
        if not self._ending.done():
            self._ending.set_result(ending)

    def _gone(self) -> None:
        self._is_gone = True
        self._link.look_again()

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
