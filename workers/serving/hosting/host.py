"""One confined process with one program: from its start to its end, and all its runs in between."""

import asyncio
import logging
from collections.abc import Iterable
from itertools import count
from typing import Any, Final

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import HOST_VALUES, Frame, encode
from dspy_service.domain.serving.run import RunError
from workers.sandbox.launch import Child
from workers.sandbox.levels import holds
from workers.serving.hosting.host_watch import HostWatch
from workers.serving.hosting.hosted_run import HostedRun, lost
from workers.serving.hosting.output import read_output
from workers.serving.hosting.rules import HostRules
from workers.serving.run_errors import KnownRunError
from workers.supervisor.departure import exit_code
from workers.supervisor.link import RunnerLink
from workers.supervisor.plain_text import one_line

_EXIT_SECONDS: Final = 0.5
_LAST_WORDS_SECONDS: Final = 0.5
_MAX_SHOWN: Final = 500
_MAX_STRAYS: Final = 100_000

_log: Final = logging.getLogger(__name__)


class Host:
    """Belongs to the event loop on which it is made.

    Args:
        child: A confined process that has no program yet; it is ended here.
        rules: What it may use.
        name: Of its program, for the log.
    """

    def __init__(self, child: Child, rules: HostRules, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[RunError] = loop.create_future()
        """Done when no run can begin here any more; says what a run that comes now is told."""
        self.is_at_fault = False
        """Whether it did not end because we wanted it to."""
        self._child = child
        self._rules = rules
        self._name = name
        self._ready: asyncio.Future[Frame] = loop.create_future()
        self._loaded: asyncio.Future[None] = loop.create_future()
        self._link = RunnerLink(self._take, self._must_wait, max_frame_bytes=rules.frame_bytes, max_values=HOST_VALUES)
        self._watch = HostWatch(
            child.pid,
            rules,
            is_busy=lambda: self.is_busy,
            is_read=lambda: self._link.is_reading,
            said_bytes=lambda: self._link.received_bytes,
        )
        self._numbers = count(1)
        self._begun = 0
        self._strays = 0
        self._runs: dict[int, HostedRun] = {}
        self._stopping: dict[int, asyncio.TimerHandle] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._outputs: list[asyncio.Task[None]] = []
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether runs go on, or have not heeded their end yet."""
        return bool(self._runs or self._stopping)

    async def open(self, opening: Iterable[bytes]) -> None:
        """Check that the process is confined as planned, and only then hand the program over.

        Raises:
            KnownRunError: it is not, or the program cannot be loaded; the process has ended.
        """
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self._link, self._child.sock)
        for pipe in (self._child.process.stdout, self._child.process.stderr):
            if pipe is not None:
                reading = read_output(pipe, f"The host of {self._name}", max_bytes=self._rules.output_bytes)
                self._outputs.append(loop.create_task(reading))
        self._tasks.append(loop.create_task(self._follow()))
        await self._until(self._ready, self._rules.ready_seconds)
        self._check_confinement(self._ready.result())
        for data in opening:
            self._link.send(data)
            await self._link.drain()
        await self._until(self._loaded, self._rules.load_seconds)
        self._tasks.append(loop.create_task(self._supervise()))

    async def carry_out(self, run: HostedRun, frame: Frame) -> dict[str, Any]:
        """Carry a run out and return its prediction; cancelled, the program and its model calls are ended.

        Args:
            run: New.
            frame: What the program is asked, without a number.

        Raises:
            KnownRunError: the program failed, its process has ended, or no frame takes what it is asked.
            LMError: a call failed, and the program with it.
        """
        if self.ended.done():
            raise KnownRunError(self.ended.result())
        number = next(self._numbers)
        asked = _encoded({**frame, "t": "run", "run": number})
        self._begun, self._runs[number] = number, run
        self._strays = 0
        try:
            self._link.send(asked)
            async with asyncio.timeout(self._rules.run_seconds):
                return await run.ended
        except TimeoutError:
            message = f"The program did not end within {self._rules.run_seconds:g} s."
            raise KnownRunError(RunError(code="deadline_exceeded", message=message)) from None
        finally:
            del self._runs[number]
            if not run.ended.done() or run.ended.cancelled():
                self._stop(number)
            else:
                run.ended.exception()  # looked at, also where the cancel came at the same time
            await run.calls.aclose()
            self._link.look_again()

    def end(self, reason: str, *, told: RunError | None = None, is_at_fault: bool = True) -> None:
        """Kill the process; its runs end as lost.

        Args:
            reason: What a run is told, after "The program's process".
            told: What later runs are told instead.
            is_at_fault: Whether the process, or its program, is why.
        """
        if self.ended.done():
            return
        self.is_at_fault = is_at_fault
        if is_at_fault:
            _log.warning("The host of %s (pid %d) %s.", self._name, self._child.pid, reason)
        self.ended.set_result(told or lost(reason).told)
        for run in self._runs.values():
            run.lose(reason)
        for timer in self._stopping.values():
            timer.cancel()
        self._stopping.clear()
        self._link.close()
        self._closing = asyncio.get_running_loop().create_task(self._close())

    async def aclose(self) -> None:
        """End the process and wait until it is gone."""
        self.end("was ended", is_at_fault=False)
        if self._closing is not None:
            await asyncio.shield(self._closing)

    def _take(self, frame: Frame) -> None:
        kind = frame["t"]
        if not self._ready.done():
            if kind != "ready":
                raise ProtocolError(f"The first frame is {kind[:40]!r}, not 'ready'.")
            self._ready.set_result(frame)
        elif not self._loaded.done():
            self._take_loaded(kind, frame)
        elif kind == "pong":
            self._watch.hear(frame.get("number"))
        else:
            self._take_of_run(kind, frame)

    def _take_loaded(self, kind: str, frame: Frame) -> None:
        if kind == "loaded":
            self._loaded.set_result(None)
        elif kind == "refused":
            message = one_line(f"The program cannot be loaded: {frame.get('message')}", max_chars=_MAX_SHOWN)
            self.end("could not load its program", told=RunError(code="program_error", message=message))
        else:
            raise ProtocolError(f"A host may not send a {kind[:40]!r} frame before its program.")

    def _take_of_run(self, kind: str, frame: Frame) -> None:
        number = frame.get("run")
        if type(number) is not int or not 0 < number <= self._begun:
            raise ProtocolError(f"A {kind[:40]!r} frame is of a run that is not here.")
        run = self._runs.get(number)
        if run is not None:
            run.take(frame, self._reply)
            return
        self._strays += 1  # of a run that was told to end, and may not have heard of it
        if self._strays > _MAX_STRAYS:
            raise ProtocolError("It goes on about runs that have ended.")
        if kind in {"done", "failed"} and (timer := self._stopping.pop(number, None)) is not None:
            timer.cancel()

    def _reply(self, data: bytes) -> None:
        self._link.send(data)
        asyncio.get_running_loop().call_soon(self._link.look_again)

    def _stop(self, number: int) -> None:
        """Tell a run to end; a program that does not heed it is killed, with all its runs."""
        if self.ended.done():
            return
        self._link.send(encode({"t": "stop", "run": number}))
        loop = asyncio.get_running_loop()
        reason = "was ended, because one of its runs did not heed its end"
        self._stopping[number] = loop.call_later(self._rules.stop_seconds, self.end, reason)

    def _must_wait(self) -> bool:
        calls = [run.calls for run in self._runs.values()]
        pending, size = sum(each.pending for each in calls), sum(each.pending_bytes for each in calls)
        return pending > self._rules.calls_at_once or size > self._rules.calls_bytes

    async def _until(self, done: asyncio.Future[Any], seconds: float) -> None:
        await asyncio.wait({done, self.ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            self.end(f"was not ready within {seconds:g} s")
        if self.ended.done():
            raise KnownRunError(self.ended.result())

    def _check_confinement(self, ready: Frame) -> None:
        level, applied = self._child.level, ready.get("applied")
        if ready.get("level") != level or not isinstance(applied, dict) or not holds(level, applied):
            self.end(one_line(f"is not confined at level {level}: {applied}", max_chars=_MAX_SHOWN))
            raise KnownRunError(lost("is not confined as it must be").told)

    async def _follow(self) -> None:
        """End when the process does, or what it says makes no sense."""
        error = await asyncio.shield(self._link.ended)
        if error is not None:
            self.end(one_line(f"made no sense: {error}", max_chars=_MAX_SHOWN))
            return
        code = await exit_code(self._child, seconds=_EXIT_SECONDS)
        how = "closed its socket" if code is None else f"ended with exit code {code}"
        self.end(f"was ended by signal {-code}" if code is not None and code < 0 else how)

    async def _supervise(self) -> None:
        reason = await self._watch.run(lambda number: self._link.send(encode({"t": "ping", "number": number})))
        self.end(reason)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self._child.kill_group)
        if self._outputs:
            await asyncio.wait(self._outputs, timeout=_LAST_WORDS_SECONDS)
        for task in self._outputs:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._outputs, return_exceptions=True)
        self._child.kill()


def _encoded(frame: Frame) -> bytes:
    try:
        return encode(frame)
    except ProtocolError as error:
        message = "The inputs are too large, or hold text that is no Unicode, for a program in a process of its own."
        raise KnownRunError(RunError(code="invalid_request", message=message)) from error
