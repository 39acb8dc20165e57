"""Keys are recorded, listed by tenant, revoked once and never deleted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from dspy_service.adapters.memory import MemoryKeyStore
from dspy_service.adapters.redis.keys import RedisKeyStore
from dspy_service.domain.errors import KeyNotFoundError
from dspy_service.domain.keys import ALL_SCOPES, ApiKey, draw_token, secret_hmac
from dspy_service.ports import KeyStore

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def a_key(tenant: str = "acme", *, age_seconds: float = 0, expires_at: datetime | None = None) -> ApiKey:
    token = draw_token()
    return ApiKey(
        key_id=token.key_id,
        tenant=tenant,
        scopes=ALL_SCOPES,
        name="ключ",
        created_at=NOW - timedelta(seconds=age_seconds),
        expires_at=expires_at,
        secret_hmac=secret_hmac(token, b"p" * 32),
    )


class KeyStoreContract:
    async def test_a_key_is_found_as_it_was_added(self, store: KeyStore) -> None:
        key = a_key(expires_at=NOW + timedelta(days=1))

        await store.add(key)

        assert await store.find(key.key_id) == key

    async def test_an_unknown_key_is_not_found(self, store: KeyStore) -> None:
        assert await store.find("0" * 16) is None

    async def test_a_key_exists_from_the_first_on_also_when_it_is_revoked(self, store: KeyStore) -> None:
        before = await store.any_exists()
        key = a_key()
        await store.add(key)

        await store.revoke(key.key_id, tenant="acme", now=NOW)

        assert not before
        assert await store.any_exists()

    async def test_a_tenant_sees_its_own_keys_oldest_first(self, store: KeyStore) -> None:
        young, old, foreign = a_key(), a_key(age_seconds=60), a_key("other")
        for key in (young, old, foreign):
            await store.add(key)

        assert await store.list("acme") == [old, young]
        assert await store.list("nobody") == []

    async def test_the_first_of_two_revocations_counts(self, store: KeyStore) -> None:
        key = a_key()
        await store.add(key)

        first = await store.revoke(key.key_id, tenant="acme", now=NOW)
        second = await store.revoke(key.key_id, tenant="acme", now=NOW + timedelta(hours=1))

        assert first == second == await store.find(key.key_id) == key.model_copy(update={"revoked_at": NOW})

    async def test_a_foreign_key_cannot_be_revoked(self, store: KeyStore) -> None:
        key = a_key("other")
        await store.add(key)

        with pytest.raises(KeyNotFoundError):
            await store.revoke(key.key_id, tenant="acme", now=NOW)
        with pytest.raises(KeyNotFoundError):
            await store.revoke("0" * 16, tenant="acme", now=NOW)

        assert await store.find(key.key_id) == key

    async def test_the_last_use_never_moves_back(self, store: KeyStore) -> None:
        key = a_key()
        await store.add(key)

        await store.touch(key.key_id, now=NOW)
        await store.touch(key.key_id, now=NOW - timedelta(minutes=5))

        found = await store.find(key.key_id)
        assert found is not None
        assert found.last_used_at == NOW

    async def test_touching_an_unknown_key_makes_none(self, store: KeyStore) -> None:
        await store.touch("0" * 16, now=NOW)

        assert await store.find("0" * 16) is None
        assert not await store.any_exists()


class TestKeysInMemory(KeyStoreContract):
    @pytest.fixture
    def store(self) -> KeyStore:
        return MemoryKeyStore()


class TestKeysOnRedis(KeyStoreContract):
    @pytest.fixture
    async def store(self, redis_url: str) -> AsyncIterator[KeyStore]:
        store = RedisKeyStore(redis_url)
        yield store
        await store.aclose()
