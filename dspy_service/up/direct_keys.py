"""API keys straight at the store, for whoever holds its address and the secret key: the operator.

This is how the first key comes about, and how a tenant does: over HTTP, a key only ever makes keys of its own tenant.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from dspy_service.adapters.embedded_valkey import EmbeddedValkey, running_url
from dspy_service.bootstrap import Services, open_services
from dspy_service.config import Settings, load_settings
from dspy_service.domain.keys import ApiKeyView, CreatedKey, Scope, view_key
from dspy_service.up.store import require_store
from dspy_service.usecases.create_key import create_key

T = TypeVar("T")


def create_direct(
    name: str, *, tenant: str, scopes: Sequence[Scope], expires_in_seconds: float | None = None
) -> CreatedKey:
    """Make a key of any tenant.

    Raises:
        ConfigurationError: the store or the secret key cannot be used.
    """

    async def make(services: Services) -> CreatedKey:
        return await create_key(
            name=name,
            tenant=tenant,
            scopes=scopes,
            lifetime_seconds=expires_in_seconds,
            keys=services.keys,
            pepper=services.secret_key,
            now=datetime.now(UTC),
        )

    return _with_services(make)


def list_direct(tenant: str) -> list[ApiKeyView]:
    """Return a tenant's keys, oldest first. Raises ConfigurationError."""

    async def read(services: Services) -> list[ApiKeyView]:
        return [view_key(key) for key in await services.keys.list(tenant)]

    return _with_services(read)


def revoke_direct(key_id: str, *, tenant: str) -> ApiKeyView:
    """Close a key for good.

    Raises:
        KeyNotFoundError: the tenant has no such key.
        ConfigurationError: the store cannot be used.
    """

    async def close(services: Services) -> ApiKeyView:
        return view_key(await services.keys.revoke(key_id, tenant=tenant, now=datetime.now(UTC)))

    return _with_services(close)


def _with_services(action: Callable[[Services], Awaitable[T]]) -> T:
    async def run(settings: Settings) -> T:
        async with open_services(settings) as services:
            return await action(services)

    with _reachable(load_settings()) as settings:
        require_store(settings)  # a key that was hashed with another secret key would open nothing
        return asyncio.run(run(settings))


@contextmanager
def _reachable(settings: Settings) -> Iterator[Settings]:
    """Yield settings with a store that answers; the embedded one is started for the moment, unless it runs."""
    if settings.redis_url:
        yield settings
        return
    url = running_url(settings.data_dir)
    if url is not None:
        yield settings.model_copy(update={"redis_url": url})
        return
    with EmbeddedValkey.start(settings.data_dir) as valkey:
        yield settings.model_copy(update={"redis_url": valkey.url})
