"""One runner and one job, from the handshake to the last byte."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic import JsonValue

from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.frames import Frame, encode
from dspy_service.domain.result import Usage
from dspy_service.domain.supervision import Halt, Phase
from workers.sandbox.launch import Child
from workers.sandbox.levels import holds
from workers.supervisor.attempt import Attempt
from workers.supervisor.departure import confirmed, departed
from workers.supervisor.ending import BUDGET_EXHAUSTED, Ending, internal_ending, interrupted_ending
from workers.supervisor.link import RunnerLink
from workers.supervisor.output import OutputReader
from workers.supervisor.plain_text import one_line
from workers.supervisor.reception import Reception
from workers.supervisor.steering import Steering
from workers.supervisor.wait_notices import WaitNotices
from workers.supervisor.watchdog import Watchdog, set_kernel_limits, starved

USAGE_SECONDS: Final = 2.0
_LAST_CALLS_SECONDS: Final = 1.0
"""For model calls in flight when the runner dies: its job's failure should be known within two seconds."""
_LAST_WORDS_SECONDS: Final = 0.5

_ESTIMATED: Final[dict[str, JsonValue]] = {
    "code": "tokens_estimated",
    "message": "A provider sends no token counts; tokens, and what they cost, are estimated from the text on the high "
    "side, also for the budget. `usage` says of how many calls.",
}

_ResultT = TypeVar("_ResultT")

_log: Final = logging.getLogger(__name__)


class RunnerNotReadyError(Exception):
    """A runner ended, or said something else, before it said that it was ready; no source was sent to it."""


class Session:
    """Relays between one child, the language models and the event feed. Use it on one event loop, once."""

    def __init__(self, child: Child, attempt: Attempt) -> None:
        self._child = child
        self._attempt = attempt
        self._feed, self._door, self._limits = attempt.feed, attempt.door, attempt.limits
        self._watchdog = Watchdog(child.pid, self._limits, self._is_held_up)
        self.reception = Reception(attempt, reply=self._reply, on_progress=self._watchdog.note_progress)
        """Everything that the runner has said."""
        self._link = RunnerLink(self.reception.take, self._must_wait, max_frame_bytes=self._limits.frame_bytes)
        self._steering = Steering(attempt, child, self._link, self.reception.ending)
        self._tasks: list[asyncio.Task[Any]] = []
        self._outputs: list[asyncio.Task[None]] = []
        self._reported: Usage | None = None
        self._notices = WaitNotices(attempt.feed, attempt.door)
        self._is_estimate_told = False
        self._feed.on_room = self._link.look_again

    async def open(self) -> None:
        """Attach to the child and check that it is confined as planned; a halt ends the wait.

        Raises:
            RunnerNotReadyError: it is not; nothing of the job has been sent.
        """
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self._link, self._child.sock)
        for name, pipe in (("stdout", self._child.process.stdout), ("stderr", self._child.process.stderr)):
            if pipe is not None:
                reader = OutputReader(
                    name, pipe, self._feed, max_bytes=self._limits.output_bytes, is_job=lambda: self._steering.has_job
                )
                self._outputs.append(loop.create_task(reader.run()))
        self._keep(self._watch())
        self._keep(self._report_usage())
        self._keep(self._notices.run())
        halted = self._keep(self._attempt.reins.halted())
        reception = self.reception
        await _first_of(reception.ready, reception.ending, halted, timeout_seconds=self._limits.ready_seconds)
        if self._attempt.reins.why is None:
            self._check_confinement()

    def _check_confinement(self) -> None:
        if not self.reception.ready.done():
            raise RunnerNotReadyError(self._why_not_ready())
        ready = self.reception.ready.result()
        applied = ready.get("applied")
        if ready.get("level") != self._child.level or not isinstance(applied, dict):
            raise RunnerNotReadyError("It does not say how it is confined.")
        if not holds(self._child.level, applied):
            raise RunnerNotReadyError(
                one_line(f"It is not confined at level {self._child.level}: {applied}", max_chars=500)
            )

    async def run(self, opening: Iterable[bytes]) -> Ending:
        """Send the job and wait for the first thing that ends it; without a job if the attempt is halted already."""
        try:
            if self._attempt.reins.why is not None:
                return await self._steering.halted()
            self._steering.has_job = True
            set_kernel_limits(self._child.pid, self._limits)
            self._attempt.time.clock.go_on()
            return await self._relay(opening)
        finally:
            self._door.close_door()

    async def _relay(self, opening: Iterable[bytes]) -> Ending:
        halted = self._keep(self._steering.halted())
        watching = self._keep(self._watchdog.run())
        timing = self._keep(self._attempt.time.run(self._stop))
        self._keep(self._steering.follow_holds())
        self._keep(self._send_all(opening))
        ending = self.reception.ending
        await _first_of(ending, halted, watching, timing)
        self._attempt.time.clock.end()
        if self._attempt.reins.why is Halt.CANCEL:
            return await halted
        if ending.done():
            return await self._ended(ending.result())
        return next(task.result() for task in (halted, watching, timing) if task.done())

    async def _ended(self, ending: Ending) -> Ending:
        if ending.how == "result":
            self._door.close_door()
            return await confirmed(self._child, ending)
        if ending.how == "died":
            await self._door.drain(_LAST_CALLS_SECONDS)  # they are paid for, and a retry finds them
            if self._attempt.reins.why is Halt.HAND_BACK:
                return interrupted_ending(Halt.HAND_BACK)  # whatever ends this worker may have ended the runner first
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
        self._notices.close()
        return self._child.kill()

    def _keep(self, step: Coroutine[Any, Any, _ResultT]) -> asyncio.Task[_ResultT]:
        """Do something beside the rest of this session; a bug of ours there must end the job, not be lost."""
        task = asyncio.create_task(step)
        self._tasks.append(task)
        task.add_done_callback(self._notice_bug)
        return task

    def _notice_bug(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        _log.error("A part of a job's supervision failed.", exc_info=error)
        self.reception.end(internal_ending())

    def _must_wait(self) -> bool:
        door, limits = self._door, self._limits
        too_many = door.pending_calls > limits.pending_calls or door.pending_bytes > limits.pending_bytes
        return self._feed.is_full or (too_many and not self.reception.is_deaf)

    def _is_held_up(self) -> bool:
        return self._door.pending_calls > 0 or self._feed.is_full or self._attempt.reins.is_held

    def _reply(self, data: bytes) -> None:
        self._link.send(data)
        self._link.look_again()

    def _stop(self, phase: Phase) -> None:
        frame: Frame = {"t": "stop", "reason": BUDGET_EXHAUSTED}
        self._link.send(encode(frame | {"final": True} if phase == "final" else frame))

    async def _send_all(self, opening: Iterable[bytes]) -> None:
        for data in opening:
            self._link.send(data)
            await self._link.drain()

    async def _watch(self) -> None:
        self.reception.end(await departed(self._child, self._link, on_gone=self._gone))

    def _gone(self) -> None:
        self.reception.is_deaf = True
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
        if usage.estimated_calls and not self._is_estimate_told:
            self._is_estimate_told = True
            self._feed.add(NewEvent(type=EventType.WARNING, data=_ESTIMATED))

    def _why_not_ready(self) -> str:
        ending = self.reception.ending
        if ending.done() and (failure := ending.result().failure) is not None:
            return failure.message
        with contextlib.suppress(asyncio.InvalidStateError):
            if (error := self._link.ended.result()) is not None:
                return str(error)
        return f"It was not ready after {self._limits.ready_seconds:g} s."


async def _first_of(*futures: asyncio.Future[Any], timeout_seconds: float | None = None) -> None:
    await asyncio.wait(futures, timeout=timeout_seconds, return_when="FIRST_COMPLETED")
