"""What a worker's parent does again and again beside its slots, each on its own and whatever happens to the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from dspy_service.domain.errors import StoreUnavailableError

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 0.2
LAST_RETRY_SECONDS: Final = 5.0
AFTER_BUG_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Chore:
    """One of these things."""

    what: str
    """Completes "this worker can …" in the log."""
    step: Callable[[], Awaitable[object]]
    """Does it once; may raise StoreUnavailableError at any time, and is then called again."""
    period_seconds: float = 0.0
    """Pause after each step; 0: the step waits by itself."""


async def keep_doing(chore: Chore) -> None:
    """Repeat a chore for ever; while the store is away, with growing pauses and a single line in the log."""
    pause_seconds = 0.0
    while True:
        try:
            await chore.step()
        except StoreUnavailableError as error:
            if not pause_seconds:
                logger.warning("Cannot %s: %s", chore.what, error)
            pause_seconds = min(max(2 * pause_seconds, FIRST_RETRY_SECONDS), LAST_RETRY_SECONDS)
            await asyncio.sleep(pause_seconds)
        except Exception:  # outermost frame of a chore: a bug in one must not end the others
            logger.exception("Cannot %s, by a bug of the service.", chore.what)
            await asyncio.sleep(AFTER_BUG_SECONDS)
        else:
            if pause_seconds:
                logger.warning("The store answers again; this worker can %s.", chore.what)
            pause_seconds = 0.0
            await asyncio.sleep(chore.period_seconds)
