"""Tries again for as long as a store is away: an answer that was paid for is worth the wait.

Nobody here gives up, because whoever keeps the job's lease does: it ends the attempt, and with it what waits here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from dspy_service.domain.errors import StoreUnavailableError

_log: Final = logging.getLogger(__name__)
_FIRST_SECONDS: Final = 0.05
_LONGEST_SECONDS: Final = 1.0

T = TypeVar("T")


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Return what ``call`` returns, the first time that the store answers it."""
    delay = _FIRST_SECONDS
    while True:
        try:
            return await call()
        except StoreUnavailableError as error:
            if delay == _FIRST_SECONDS:
                _log.warning("A journal waits: %s", error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_SECONDS)
