"""The API keys on Redis.

==============================  ================================================================================
key (one hash tag)              holds
==============================  ================================================================================
``{dspy}:key:<id>``             hash: ``tenant``, ``fixed`` (JSON, immutable), ``revoked`` and ``used`` (micros)
``{dspy}:keys``                 set of all ids; nothing is ever taken out
``{dspy}:keys:<tenant>``        zset of the tenant's ids, by the time of their creation
==============================  ================================================================================
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pydantic_core

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.records import from_micros, to_micros
from dspy_service.domain.errors import KeyNotFoundError
from dspy_service.domain.keys import ApiKey

if TYPE_CHECKING:
    from dspy_service.ports import KeyStore

_KEY = "{dspy}:key:"
_ALL = "{dspy}:keys"
_MOMENTS = {"revoked": "revoked_at", "used": "last_used_at"}


class RedisKeyStore:
    """Keys in the Redis (or Valkey) at ``url``."""

    def __init__(self, url: str) -> None:
        self._client = RedisClient(url)

    async def add(self, key: ApiKey) -> None:
        """Record a new key."""
        fixed = key.model_dump_json(exclude=set(_MOMENTS.values()))
        await self._client.run(
            "add_key",
            keys=[_KEY + key.key_id, _ALL, _of_tenant(key.tenant)],
            args=(key.key_id, key.tenant, fixed, _micros(key.created_at)),
        )

    async def any_exists(self) -> bool:
        """Whether a key was ever made."""
        return bool(await self._client.command("EXISTS", _ALL))

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the record, whatever its tenant."""
        fields = await self._client.command("HGETALL", _KEY + key_id)
        return _key_from_hash(fields) if fields else None

    async def list(self, tenant: str) -> list[ApiKey]:
        """Return the tenant's keys, oldest first."""
        ids = await self._client.command("ZRANGE", _of_tenant(tenant), 0, -1)
        found = [await self.find(key_id) for key_id in ids]
        return [key for key in found if key is not None]

    async def revoke(self, key_id: str, *, tenant: str, now: datetime) -> ApiKey:
        """Close a key for good."""
        pairs = await self._client.run("revoke_key", keys=[_KEY + key_id], args=(tenant, _micros(now)))
        if not pairs:
            raise KeyNotFoundError(key_id)
        return _key_from_hash(dict(zip(pairs[::2], pairs[1::2], strict=True)))

    async def touch(self, key_id: str, *, now: datetime) -> None:
        """Note a use."""
        await self._client.run("touch_key", keys=[_KEY + key_id], args=[_micros(now)])

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _of_tenant(tenant: str) -> str:
    return f"{_ALL}:{tenant}"


def _micros(moment: datetime) -> int:
    return to_micros((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def _key_from_hash(fields: Mapping[str, str]) -> ApiKey:
    key: dict[str, Any] = pydantic_core.from_json(fields["fixed"])
    key |= {name: from_micros(fields[field]) for field, name in _MOMENTS.items() if field in fields}
    return ApiKey.model_validate_json(pydantic_core.to_json(key))


if TYPE_CHECKING:
    _proof: KeyStore = RedisKeyStore("redis://")
