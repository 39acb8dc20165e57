"""Makes an API key."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.keys import (
    ALL_SCOPES,
    OPERATOR_SCOPES,
    TENANT_PATTERN,
    ApiKey,
    CreatedKey,
    Scope,
    draw_token,
    secret_hmac,
    view_key,
)
from dspy_service.ports import KeyStore


async def create_key(
    *,
    name: str,
    tenant: str,
    scopes: Sequence[Scope],
    lifetime_seconds: float | None,
    keys: KeyStore,
    pepper: bytes,
    now: datetime,
    giver_scopes: Collection[Scope] = ALL_SCOPES,
) -> CreatedKey:
    """Draw a token, keep its hash, and return the token, which nobody can find out again.

    Args:
        name: For people, to tell keys apart.
        tenant: Whose records the key opens.
        scopes: What it may do.
        lifetime_seconds: Until it expires; None for never.
        keys: Where its record goes.
        pepper: The service's own secret.
        now: The time of creation.
        giver_scopes: What whoever makes it may do; by default everything, as whoever reaches the store itself.

    Raises:
        InvalidRequestError: the tenant's name cannot be a part of other names, or only the operator may give a scope.
    """
    for scope in OPERATOR_SCOPES:
        if scope in scopes and scope not in giver_scopes:
            message = f"{scope} shows all tenants; its operator gives it, with `dspy-service keys create --direct`"
            raise InvalidRequestError.of("scopes", message)
    if not re.fullmatch(TENANT_PATTERN, tenant):
        message = f"{tenant[:100]!r} is no tenant's name; write lower-case letters, digits and hyphens, at most 63"
        raise InvalidRequestError.of("tenant", message)
    token = draw_token()
    key = ApiKey(
        key_id=token.key_id,
        tenant=tenant,
        scopes=tuple(scope for scope in Scope if scope in scopes),
        name=name,
        created_at=now,
        expires_at=None if lifetime_seconds is None else now + timedelta(seconds=lifetime_seconds),
        secret_hmac=secret_hmac(token, pepper),
    )
    await keys.add(key)
    return CreatedKey(**dict(view_key(key)), token=str(token))
