"""When and how long to wait before a failed call is tried again."""

from dataclasses import dataclass
from typing import Final

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.throttle import MAX_QUIET_SECONDS

_LONGEST_DOUBLING: Final = 16  # beyond every sensible cap


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential waits, bounded by attempts and by time; a provider's own Retry-After wins over ours.

    A rate limit says nothing against a call, so refusals for it are bounded by time alone, and count with nothing else.
    Nor does an outage, in which every call of a model fails that has answered before: time alone bounds that, too.
    What a provider asks for counts up to ``MAX_QUIET_SECONDS``: its wish makes nothing fail that would be tried again.
    """

    max_attempts: int = 8
    max_total_seconds: float = 300.0
    """From the first failure; a wait that would end later is not begun."""
    max_rate_limited_seconds: float = 1_800.0
    """The same for refusals because of a rate limit."""
    first_delay_seconds: float = 0.5
    max_delay_seconds: float = 30.0

    def delay_seconds(
        self, error: ModelCallError, *, attempt: int, elapsed_seconds: float, jitter: float, in_outage: int = 0
    ) -> float | None:
        """Return the wait before the next attempt, or None to give up.

        Args:
            error: What the last attempt ended with.
            attempt: How many attempts have ended so: because of a rate limit, or otherwise; from 1.
            elapsed_seconds: Since the first of them.
            jitter: From 0 to 1; spreads callers that failed together over half of the wait.
            in_outage: How many of these attempts failed while no other call was answered, either.
        """
        kind = ModelErrorKind(error.kind)
        is_rate = kind is ModelErrorKind.RATE_LIMIT
        if not kind.is_transient or (attempt - in_outage >= self.max_attempts and not is_rate):
            return None
        if error.retry_after_seconds is not None:
            delay = min(max(0.0, error.retry_after_seconds), MAX_QUIET_SECONDS)
        else:
            doubled = self.first_delay_seconds * 2 ** min(attempt - 1, _LONGEST_DOUBLING)
            delay = min(self.max_delay_seconds, doubled) * (0.5 + jitter / 2)
        patience = self.max_rate_limited_seconds if is_rate else self.max_total_seconds
        return delay if elapsed_seconds + delay <= patience else None
