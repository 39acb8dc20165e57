"""A token leads to its owner; every other text to the same refusal."""

from datetime import UTC, datetime, timedelta

import pytest

from dspy_service.adapters.memory import MemoryKeyStore
from dspy_service.domain.caller_errors import UnauthenticatedError
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.keys import USER_SCOPES, CreatedKey, Scope, draw_token, parse_token
from dspy_service.usecases.authenticate import authenticate
from dspy_service.usecases.create_key import create_key

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PEPPER = b"p" * 32


@pytest.fixture
def keys() -> MemoryKeyStore:
    return MemoryKeyStore()


async def created(keys: MemoryKeyStore, *, lifetime_seconds: float | None = None, tenant: str = "acme") -> CreatedKey:
    return await create_key(
        name="ci",
        tenant=tenant,
        scopes=USER_SCOPES,
        lifetime_seconds=lifetime_seconds,
        keys=keys,
        pepper=PEPPER,
        now=NOW,
    )


async def test_the_owner_is_found(keys: MemoryKeyStore) -> None:
    key = await created(keys)

    caller = await authenticate(key.token, keys=keys, pepper=PEPPER, now=NOW)

    assert (caller.tenant, caller.scopes, caller.key_id) == ("acme", frozenset(USER_SCOPES), key.key_id)
    assert not caller.is_open


async def test_scopes_are_kept_once_each_in_their_own_order(keys: MemoryKeyStore) -> None:
    key = await create_key(
        name="x",
        tenant="acme",
        scopes=[Scope.ADMIN, Scope.JOBS_READ, Scope.ADMIN],
        lifetime_seconds=None,
        keys=keys,
        pepper=PEPPER,
        now=NOW,
    )

    assert key.scopes == (Scope.JOBS_READ, Scope.ADMIN)


async def test_an_unknown_id_and_a_wrong_secret_get_the_same_answer(keys: MemoryKeyStore) -> None:
    key = await created(keys)
    stranger = draw_token()
    sentences = set()

    for token in ("nonsense", str(stranger), f"dsk_{key.key_id}.{stranger.secret}"):
        with pytest.raises(UnauthenticatedError) as caught:
            await authenticate(token, keys=keys, pepper=PEPPER, now=NOW)
        sentences.add(str(caught.value))

    assert len(sentences) == 1


async def test_nothing_at_all_is_refused(keys: MemoryKeyStore) -> None:
    with pytest.raises(UnauthenticatedError, match="none was sent"):
        await authenticate(None, keys=keys, pepper=PEPPER, now=NOW)


async def test_an_expired_key_is_refused_from_its_last_second_on(keys: MemoryKeyStore) -> None:
    key = await created(keys, lifetime_seconds=60)

    await authenticate(key.token, keys=keys, pepper=PEPPER, now=NOW + timedelta(seconds=59))

    with pytest.raises(UnauthenticatedError, match="it has expired"):
        await authenticate(key.token, keys=keys, pepper=PEPPER, now=NOW + timedelta(seconds=60))


async def test_only_the_owner_of_the_secret_hears_that_a_key_was_revoked(keys: MemoryKeyStore) -> None:
    key = await created(keys)
    await keys.revoke(key.key_id, tenant="acme", now=NOW)

    with pytest.raises(UnauthenticatedError, match="it was revoked"):
        await authenticate(key.token, keys=keys, pepper=PEPPER, now=NOW)
    with pytest.raises(UnauthenticatedError, match="this one is unknown"):
        await authenticate(f"dsk_{key.key_id}.{draw_token().secret}", keys=keys, pepper=PEPPER, now=NOW)


async def test_the_last_use_is_noted_once_a_minute_and_not_for_strangers(keys: MemoryKeyStore) -> None:
    key = await created(keys)
    seen = []

    for seconds in (0, 59, 60, 61):
        await authenticate(key.token, keys=keys, pepper=PEPPER, now=NOW + timedelta(seconds=seconds))
        found = await keys.find(key.key_id)
        assert found is not None
        assert found.last_used_at is not None
        seen.append((found.last_used_at - NOW).total_seconds())
    with pytest.raises(UnauthenticatedError):
        await authenticate(
            f"dsk_{key.key_id}.{draw_token().secret}", keys=keys, pepper=PEPPER, now=NOW.replace(year=2027)
        )

    assert seen == [0, 0, 60, 60]
    found = await keys.find(key.key_id)
    assert found is not None
    assert found.last_used_at == NOW + timedelta(seconds=60)


async def test_the_store_never_holds_the_secret(keys: MemoryKeyStore) -> None:
    key = await created(keys)
    token = parse_token(key.token)

    assert token is not None
    assert token.secret not in repr(vars(keys)) + "".join(each.model_dump_json() for each in await keys.list("acme"))


@pytest.mark.parametrize("tenant", ["", "A", "a:b", "a/b", "-a", "a" * 64, "a\n", "ä"])
async def test_a_tenant_that_cannot_be_a_part_of_names_is_refused(tenant: str, keys: MemoryKeyStore) -> None:
    with pytest.raises(InvalidRequestError, match="no tenant's name"):
        await created(keys, tenant=tenant)

    assert not await keys.any_exists()
