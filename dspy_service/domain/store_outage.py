"""The one way to wait for a store that is away: what may be done twice is tried again until it answers."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from dspy_service.domain.errors import StoreUnavailableError

_log: Final = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.5

T = TypeVar("T")


async def repeat_while_away(
    effect: Callable[[], Awaitable[T]],
    *,
    at_most_seconds: float = math.inf,
    is_over: Callable[[], bool] = lambda: False,
    longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
) -> T:
    """Return what ``effect`` returns, the first time that its store answers.

    Without a limit nobody here gives up: whoever keeps the job's lease ends the attempt, and with it what waits here.

    Args:
        effect: May be done twice: a store that did not answer may have heard us all the same.
        at_most_seconds: No try begins later than that.
        is_over: Asked after each failure; nothing is tried again once it is true.
        longest_pause_seconds: Pauses between two tries double up to this.

    Raises:
        StoreUnavailableError: of the last try.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + at_most_seconds
    pause_seconds = min(FIRST_PAUSE_SECONDS, longest_pause_seconds)
    is_waiting = False
    while True:
        try:
            return await effect()
        except StoreUnavailableError as error:
            if is_over() or clock() + pause_seconds >= until:
                raise
            if not is_waiting:
                _log.warning("Something waits for a store: %s", error)
                is_waiting = True
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, longest_pause_seconds)
