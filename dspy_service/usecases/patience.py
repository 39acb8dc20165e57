"""Says how long an attempt waits for each store that is away."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from dspy_service.domain.store_outage import LONGEST_PAUSE_SECONDS, repeat_while_away

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How an attempt waits for stores that do not answer.

    The job store may be away for as long as it likes: whoever keeps the lease ends the attempt when it must end.
    """

    files_seconds: float = 120.0
    """How long the artifact store may be away before the attempt is given up; another one tries again."""
    retry_seconds: float = LONGEST_PAUSE_SECONDS
    """The longest pause between two tries."""
    pause_seconds: float = 5.0
    """Before an attempt that was given up gives its job back."""

    async def for_jobs(self, effect: Callable[[], Awaitable[T]]) -> T:
        """Repeat an idempotent effect on the job store until it gets an answer."""
        return await repeat_while_away(effect, longest_pause_seconds=self.retry_seconds)

    async def for_files(self, effect: Callable[[], Awaitable[T]], *, is_over: Callable[[], bool]) -> T:
        """Repeat an idempotent effect on the artifact store; ``is_over`` ends the patience early.

        Raises:
            StoreUnavailableError: the patience is over.
        """
        return await repeat_while_away(
            effect, at_most_seconds=self.files_seconds, is_over=is_over, longest_pause_seconds=self.retry_seconds
        )
