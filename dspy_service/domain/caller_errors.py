"""What can be wrong with whoever calls: the part of the tree in ``errors`` about keys, scopes and rates."""

import math
from typing import Literal

from dspy_service.domain.errors import ServiceError

_RUN_SECONDS = 1
"""Runs take seconds, so that one of them will have ended; a job may take hours."""


class UnauthenticatedError(ServiceError):
    """No API key, or one that opens nothing; ``reason`` says which, as half a sentence."""

    code = "unauthenticated"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"This service needs an API key ({reason}); send it as a Bearer token in the header Authorization."
        )
        self.reason = reason


class ForbiddenError(ServiceError):
    """The request is understood and refused, whoever sends it."""

    code = "forbidden"


class ScopeMissingError(ForbiddenError):
    """The key is good, but not for this."""

    code = "scope_missing"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This API key has no scope '{scope}'; ask an admin for a key that has it.")
        self.scope = scope


class TooManyRequestsError(ServiceError):
    """The caller has had its share for now."""

    code = "too_many_requests"


class RateLimitedError(TooManyRequestsError):
    """Too many requests within a minute."""

    code = "rate_limited"

    def __init__(self, per_minute: int, retry_after_seconds: float) -> None:
        seconds = max(1, math.ceil(retry_after_seconds))
        super().__init__(f"More than {per_minute} requests within a minute; try again in {seconds} s.")
        self.per_minute = per_minute
        self.retry_after_seconds = seconds


class QuotaExceededError(TooManyRequestsError):
    """The tenant has as many unfinished jobs, or runs, as it may have."""

    code = "quota_exceeded"

    def __init__(self, max_live_jobs: int, *, what: Literal["jobs", "runs"] = "jobs") -> None:
        super().__init__(f"{max_live_jobs} of your {what} have not ended, which is the most; wait for one of them.")
        self.max_live_jobs = max_live_jobs
        self.retry_after_seconds = _RUN_SECONDS if what == "runs" else None
