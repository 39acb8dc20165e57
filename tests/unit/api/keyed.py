"""A service with API keys, and what a test needs to knock at its door."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import ALL_SCOPES, CreatedKey, Scope
from dspy_service.usecases.create_key import create_key

FOREIGN_JOB = "01890a5d-ac96-774b-bcce-b302099a8057"


async def make_key(
    services: Services,
    *,
    tenant: str = "acme",
    scopes: Sequence[Scope] = ALL_SCOPES,
    expired: bool = False,
    revoked: bool = False,
) -> CreatedKey:
    """Make a key and, when asked for, close it."""
    now = datetime.now(UTC)
    created = await create_key(
        name="test",
        tenant=tenant,
        scopes=scopes,
        lifetime_seconds=60 if expired else None,
        keys=services.keys,
        pepper=services.secret_key,
        now=now - timedelta(hours=1) if expired else now,
    )
    if revoked:
        await services.keys.revoke(created.key_id, tenant=tenant, now=now)
    return created


async def header(
    services: Services,
    *,
    tenant: str = "acme",
    scopes: Sequence[Scope] = ALL_SCOPES,
    expired: bool = False,
    revoked: bool = False,
) -> Mapping[str, str]:
    """Make a key and return the header that sends it."""
    key = await make_key(services, tenant=tenant, scopes=scopes, expired=expired, revoked=revoked)
    return {"authorization": f"Bearer {key.token}"}
