"""Notices how a runner leaves: by itself, killed, or with its socket closed and alive."""

import asyncio
from collections.abc import Callable
from typing import Final

from workers.sandbox.launch import Child
from workers.supervisor.ending import Ending, died_ending, protocol_ending
from workers.supervisor.link import RunnerLink

_WATCH_SECONDS: Final = 0.2
_LAST_WORDS_SECONDS: Final = 0.5
_EXIT_POLL_SECONDS: Final = 0.01
_FAREWELL_SECONDS: Final = 2.0


async def departed(child: Child, link: RunnerLink, *, on_gone: Callable[[], None]) -> Ending:
    """Wait for the end of the child, however it comes; a grandchild may keep the socket open.

    Args:
        child: The runner.
        link: Our end of its socket, which is read to its end first.
        on_gone: Called once the child has ended or its socket has closed.
    """
    ended = link.ended
    while not ended.done() and child.is_alive():
        await asyncio.wait({ended}, timeout=_WATCH_SECONDS)
    on_gone()
    while not ended.done() and not link.is_reading:
        await asyncio.wait({ended}, timeout=_WATCH_SECONDS)  # its last events wait until there is room
    await asyncio.wait({ended}, timeout=_LAST_WORDS_SECONDS)
    error = ended.result() if ended.done() else None
    if error is not None:
        return protocol_ending(error)
    code = await exit_code(child, seconds=_LAST_WORDS_SECONDS)
    if link.is_mid_frame and (code is None or code >= 0):
        return protocol_ending("It ended in the middle of a frame.")
    return died_ending(code)


async def confirmed(child: Child, ending: Ending) -> Ending:
    """Let a result count only if the runner then ends well.

    One that still lives after two seconds is killed by its supervisor, and its result stands: a thread of the metric
    may hold the interpreter for ever.
    """
    code = await exit_code(child, seconds=_FAREWELL_SECONDS)
    return ending if code in {0, None} else died_ending(code, after_result=True)


async def exit_code(child: Child, *, seconds: float) -> int | None:
    """Return the code of a child that ends by itself; None if it lives on."""
    for _ in range(int(seconds / _EXIT_POLL_SECONDS)):
        if not child.is_alive():
            return child.kill_group()
        await asyncio.sleep(_EXIT_POLL_SECONDS)
    return None
