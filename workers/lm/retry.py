"""When and how long to wait before a failed call is tried again."""

from dataclasses import dataclass

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential waits, bounded by attempts and by time; a provider's own Retry-After wins over ours."""

    max_attempts: int = 8
    max_total_seconds: float = 300.0
    """From the first attempt; a wait that would end later is not begun."""
    first_delay_seconds: float = 0.5
    max_delay_seconds: float = 30.0

    def delay_seconds(
        self, error: ModelCallError, *, attempt: int, elapsed_seconds: float, jitter: float
    ) -> float | None:
        """Return the wait before the next attempt, or None to give up.

        Args:
            error: What the last attempt ended with.
            attempt: Number of the attempt that failed, from 1.
            elapsed_seconds: Since the first attempt began.
            jitter: From 0 to 1; spreads callers that failed together over half of the wait.
        """
        if not ModelErrorKind(error.kind).is_transient or attempt >= self.max_attempts:
            return None
        if error.retry_after_seconds is not None:
            delay = max(0.0, error.retry_after_seconds)
        else:
            delay = min(self.max_delay_seconds, self.first_delay_seconds * 2 ** (attempt - 1)) * (0.5 + jitter / 2)
        return delay if elapsed_seconds + delay <= self.max_total_seconds else None
