"""API keys: what they may do, how their tokens are written, and how a token is recognized without being kept.

A token is ``dsk_<id>.<secret>``: the id finds the record, the secret has 256 random bits and is shown once. The record
holds only an HMAC of the secret, keyed with the service's own secret (the pepper): who reads the store cannot use it.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dspy_service.domain.schema import Schema
from dspy_service.domain.times import UtcTime

LOCAL_TENANT = "local"
"""Whose jobs are those of open mode."""

MAX_KEY_NAME_LENGTH = 128
TENANT_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
"""No colon and no slash: a tenant's name is a part of keys in the store and of paths."""

_ID_BYTES = 8
_SECRET_BYTES = 32
_TOKEN = re.compile(r"dsk_([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")
_PURPOSE = b"dspy-service/api-key/1"
_NO_HMAC = "0" * 64


class Scope(StrEnum):
    """One thing that a key may do; none includes another."""

    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    ARTIFACTS_READ = "artifacts:read"
    SERVE_INVOKE = "serve:invoke"
    ADMIN = "admin"
    METRICS_READ = "metrics:read"


ALL_SCOPES = tuple(Scope)
OPERATOR_SCOPES = (Scope.METRICS_READ,)
"""What concerns all tenants together; a key gives it on only when it has it itself."""
USER_SCOPES = tuple(scope for scope in Scope if scope is not Scope.ADMIN and scope not in OPERATOR_SCOPES)
"""What a key may do unless its creator says otherwise: everything of its tenant but making keys."""


class ApiKey(Schema):
    """The record of one key. It is never deleted, so that a service that once had a key never falls back to none."""

    key_id: str
    tenant: Annotated[str, Field(pattern=f"^{TENANT_PATTERN}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    name: str
    created_at: UtcTime
    expires_at: UtcTime | None = None
    revoked_at: UtcTime | None = None
    last_used_at: UtcTime | None = None
    """To the minute: it is not written more often."""
    secret_hmac: Annotated[str, Field(repr=False)]

    def refusal(self, now: datetime) -> str | None:
        """Return why the key opens nothing any more, or None while it does."""
        if self.revoked_at is not None:
            return "it was revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "it has expired"
        return None


class ApiKeyView(Schema):
    """A key as its tenant's admin sees it: everything but the secret."""

    key_id: str
    name: str
    tenant: str
    scopes: tuple[Scope, ...]
    created_at: UtcTime
    expires_at: Annotated[UtcTime | None, Field(description="Null: never.")]
    revoked_at: Annotated[UtcTime | None, Field(description="Null: it still opens.")]
    last_used_at: Annotated[UtcTime | None, Field(description="To the minute; null: never.")]


class CreatedKey(ApiKeyView):
    """The answer to the creation of a key: the only time that its token is shown."""

    token: Annotated[str, Field(repr=False, description="Send it as `Authorization: Bearer …`; it is not kept.")]


@dataclass(frozen=True)
class Token:
    """A token, taken apart."""

    key_id: str
    secret: str

    def __str__(self) -> str:
        return f"dsk_{self.key_id}.{self.secret}"

    def __repr__(self) -> str:
        return f"Token({self.key_id!r})"


@dataclass(frozen=True)
class Caller:
    """Who sends a request: a tenant, and what it may do."""

    tenant: str
    scopes: frozenset[Scope]
    key_id: str | None
    """None in open mode."""

    @property
    def is_open(self) -> bool:
        """Whether there are no keys, and the caller is simply somebody on this machine."""
        return self.key_id is None


OPEN_CALLER = Caller(tenant=LOCAL_TENANT, scopes=frozenset(Scope), key_id=None)


def draw_token() -> Token:
    """Return a new token."""
    return Token(key_id=secrets.token_hex(_ID_BYTES), secret=secrets.token_urlsafe(_SECRET_BYTES))


def parse_token(text: str) -> Token | None:
    """Take a token apart; None for anything that cannot be one."""
    found = _TOKEN.fullmatch(text)
    return Token(key_id=found[1], secret=found[2]) if found else None


def secret_hmac(token: Token, pepper: bytes) -> str:
    """Return what is stored of a token. The id is part of it: a hash that was moved to another record fits no token."""
    message = b"\0".join((_PURPOSE, token.key_id.encode(), token.secret.encode()))
    return hmac.digest(pepper, message, hashlib.sha256).hex()


def opens(token: Token, key: ApiKey | None, pepper: bytes) -> bool:
    """Whether a token is that of a record; takes as long for a record that does not exist."""
    expected = _NO_HMAC if key is None else key.secret_hmac
    return hmac.compare_digest(secret_hmac(token, pepper), expected) and key is not None


def view_key(key: ApiKey) -> ApiKeyView:
    """Return what may be shown of a record."""
    return ApiKeyView(**{name: getattr(key, name) for name in ApiKeyView.model_fields})
