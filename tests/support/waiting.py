"""Waiting for a condition instead of for a time."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[object]], *, seconds: float = 5.0) -> None:
    """Ask again and again until the answer is true; TimeoutError when it never is."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # the condition lives in another process
            await asyncio.sleep(0.01)
