"""Who may call, and how often."""

from datetime import datetime
from typing import Protocol

from dspy_service.domain.keys import ApiKey


class KeyStore(Protocol):
    """The API keys. None is ever deleted: revoking one leaves its record."""

    async def add(self, key: ApiKey) -> None:
        """Record a new key."""
        ...

    async def any_exists(self) -> bool:
        """Whether a key was ever made; once True, for ever True."""
        ...

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the record, whatever its tenant."""
        ...

    async def list(self, tenant: str) -> list[ApiKey]:
        """Return the tenant's keys, oldest first."""
        ...

    async def revoke(self, key_id: str, *, tenant: str, now: datetime) -> ApiKey:
        """Close a key for good; the first time of several counts. Raises KeyNotFoundError, also for a foreign key."""
        ...

    async def touch(self, key_id: str, *, now: datetime) -> None:
        """Note a use; never moves the time of the last one back."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class RateLimiter(Protocol):
    """Counts requests by name, together for every process of the service."""

    async def take(self, name: str, *, per_minute: int) -> float | None:
        """Count one more; None when it is within ``per_minute``, else the seconds until one will be."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
