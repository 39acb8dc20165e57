"""The API keys in memory."""

from datetime import datetime
from typing import TYPE_CHECKING

from dspy_service.domain.errors import KeyNotFoundError
from dspy_service.domain.keys import ApiKey

if TYPE_CHECKING:
    from dspy_service.ports import KeyStore


class MemoryKeyStore:
    """Keys of one process."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    async def add(self, key: ApiKey) -> None:
        """Record a new key."""
        self._keys[key.key_id] = key

    async def any_exists(self) -> bool:
        """Whether a key was ever made."""
        return bool(self._keys)

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the record, whatever its tenant."""
        return self._keys.get(key_id)

    async def list(self, tenant: str) -> list[ApiKey]:
        """Return the tenant's keys, oldest first."""
        return sorted((key for key in self._keys.values() if key.tenant == tenant), key=lambda key: key.created_at)

    async def revoke(self, key_id: str, *, tenant: str, now: datetime) -> ApiKey:
        """Close a key for good."""
        key = self._keys.get(key_id)
        if key is None or key.tenant != tenant:
            raise KeyNotFoundError(key_id)
        closed = key.model_copy(update={"revoked_at": key.revoked_at or now})
        self._keys[key_id] = closed
        return closed

    async def touch(self, key_id: str, *, now: datetime) -> None:
        """Note a use."""
        key = self._keys.get(key_id)
        if key is not None and (key.last_used_at is None or key.last_used_at < now):
            self._keys[key_id] = key.model_copy(update={"last_used_at": now})

    async def aclose(self) -> None:
        """Nothing to release."""


if TYPE_CHECKING:
    _proof: KeyStore = MemoryKeyStore()
