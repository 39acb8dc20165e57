"""How the runs of a worker that goes away end: begun answers by themselves, all others by being given back."""

import asyncio
from collections.abc import Mapping
from typing import Final

from workers.serving.session import Session

RELEASE_SECONDS: Final = 1.0
"""Of the time that a worker has: to record the end of what did not end by itself."""


async def drain(sessions: Mapping[asyncio.Task[None], Session], *, seconds: float) -> None:
    """Give back what nobody has seen anything of, let the others end, and cut off what has not ended in time.

    What cannot even be given back is left to its lease.

    Args:
        sessions: Each running session with its task.
        seconds: All that this may take; the last second of it is for giving back.
    """
    if not sessions:
        return
    tasks = set(sessions)
    for session in sessions.values():
        session.leave()
    _, late = await asyncio.wait(tasks, timeout=max(0.0, seconds - RELEASE_SECONDS))
    for task in late:
        sessions[task].hand_back()
    if late:
        _, late = await asyncio.wait(late, timeout=RELEASE_SECONDS)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=RELEASE_SECONDS)
