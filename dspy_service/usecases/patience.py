"""Repeats what may be repeated while a store is away."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from dspy_service.domain.errors import StoreUnavailableError

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How an attempt waits for stores that do not answer.

    The job store may be away for as long as it likes: whoever keeps the lease ends the attempt when it must end.
    """

    files_seconds: float = 120.0
    """How long the artifact store may be away before the attempt is given up; another one tries again."""
    retry_seconds: float = 0.5
    """Between two tries."""
    pause_seconds: float = 5.0
    """Before an attempt that was given up gives its job back."""

    async def for_jobs(self, effect: Callable[[], Awaitable[T]]) -> T:
        """Repeat an idempotent effect on the job store until it gets an answer."""
        return await self._repeat(effect, math.inf, lambda: False)

    async def for_files(self, effect: Callable[[], Awaitable[T]], *, is_over: Callable[[], bool]) -> T:
        """Repeat an idempotent effect on the artifact store; ``is_over`` ends the patience early.

        Raises:
            StoreUnavailableError: the patience is over.
        """
        return await self._repeat(effect, self.files_seconds, is_over)

    async def _repeat(
        self, effect: Callable[[], Awaitable[T]], at_most_seconds: float, is_over: Callable[[], bool]
    ) -> T:
        loop = asyncio.get_running_loop()
        until = loop.time() + at_most_seconds
        while True:
            try:
                return await effect()
            except StoreUnavailableError:
                if loop.time() >= until or is_over():
                    raise
                await asyncio.sleep(self.retry_seconds)
