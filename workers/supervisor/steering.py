"""Obeys the reins of an attempt: stands still, stops gently, or stops at once."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar

from dspy_service.domain.frames import encode
from dspy_service.domain.supervision import Halt, Reins
from workers.sandbox.launch import Child
from workers.supervisor.attempt import Attempt
from workers.supervisor.ending import Ending, cancelled_ending, interrupted_ending
from workers.supervisor.link import RunnerLink

_ResultT = TypeVar("_ResultT")

_LAST_STEP_SECONDS: Final = 0.5
"""For what is just being stored when the time for a gentle stop is up."""


class Steering:
    """Of one runner.

    Args:
        attempt: Whose reins are obeyed.
        child: The runner, which stands still while the attempt is held.
        link: Its socket.
        ending: Done when the attempt has ended by itself.
    """

    def __init__(self, attempt: Attempt, child: Child, link: RunnerLink, ending: asyncio.Future[Ending]) -> None:
        self._attempt = attempt
        self._child = child
        self._link = link
        self._ending = ending
        self.has_job = False
        """Whether the runner knows what it could stop."""

    async def follow_holds(self) -> NoReturn:
        """Let runner, model calls and time stand still for as long as the attempt is held."""
        attempt = self._attempt
        while True:
            await attempt.reins.held()
            attempt.door.hold()
            self._child.suspend()
            attempt.time.clock.stop()
            await attempt.reins.free()
            attempt.time.clock.go_on()
            self._child.resume()
            attempt.door.go_on()

    async def halted(self) -> Ending:
        """Wait until a stop is asked for, and prepare it; the runner still lives when this returns.

        A more urgent reason takes over from a gentle stop that is going on.
        """
        reins = self._attempt.reins
        why = await reins.halted()
        while why is not Halt.CANCEL:
            leaving = asyncio.create_task(self._leave(why))
            urgent = asyncio.create_task(reins.halted(beyond=why))
            try:
                await asyncio.wait({leaving, urgent}, return_when="FIRST_COMPLETED")
                if leaving.done():
                    leaving.result()
                    return interrupted_ending(why)
                why = urgent.result()
            finally:
                leaving.cancel()
                urgent.cancel()
        return await self._cancel()

    async def _leave(self, why: Halt) -> None:
        """Let model calls in flight end, so that their answers are kept; the runner may compute on in the meantime.

        It is not running time: how long a provider takes to answer its last calls is not the user's to pay for.
        """
        limits, attempt = self._attempt.limits, self._attempt
        attempt.time.clock.end()
        seconds = limits.pause_seconds if why is Halt.PAUSE else limits.hand_back_seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + _LAST_STEP_SECONDS):
                await asyncio.gather(attempt.door.drain(seconds), attempt.keeper.settle())

    async def _cancel(self) -> Ending:
        """Let no call begin any more, and give the runner a moment to say what it knows."""
        attempt = self._attempt
        attempt.door.close_door()
        self._link.send(encode({"t": "cancel"}))
        can_heed = self.has_job and not attempt.reins.is_held
        await asyncio.wait({self._ending}, timeout=attempt.limits.cancel_grace_seconds if can_heed else 0)
        return cancelled_ending(self._ending.result() if self._ending.done() else None)


async def unless_halted(work: Coroutine[Any, Any, _ResultT], reins: Reins) -> _ResultT | Halt:
    """Return what the work gives, or why it was given up in the middle."""
    working = asyncio.create_task(work)
    halted = asyncio.create_task(reins.halted())
    try:
        await asyncio.wait({working, halted}, return_when="FIRST_COMPLETED")
        return working.result() if working.done() else halted.result()
    finally:
        halted.cancel()
        working.cancel()
        await asyncio.wait({working})
