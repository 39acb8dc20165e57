"""Finds out who sends a request."""

from datetime import datetime, timedelta

from dspy_service.domain.caller_errors import UnauthenticatedError
from dspy_service.domain.keys import Caller, opens, parse_token
from dspy_service.ports import KeyStore

_TOUCH_EVERY = timedelta(minutes=1)  # a poll a second must not become a write a second
_UNKNOWN = "this one is unknown"


async def authenticate(token: str | None, *, keys: KeyStore, pepper: bytes, now: datetime) -> Caller:
    """Return the owner of a token, and note on its record that it was used.

    An unknown id takes as long as a wrong secret and gets the same answer. Only the owner of the secret hears that a
    key was revoked or has expired.

    Raises:
        UnauthenticatedError: no token, or one that opens nothing.
    """
    if token is None:
        raise UnauthenticatedError("none was sent")
    parsed = parse_token(token)
    if parsed is None:
        raise UnauthenticatedError(_UNKNOWN)
    key = await keys.find(parsed.key_id)
    if not opens(parsed, key, pepper) or key is None:
        raise UnauthenticatedError(_UNKNOWN)
    refusal = key.refusal(now)
    if refusal is not None:
        raise UnauthenticatedError(refusal)
    if key.last_used_at is None or now - key.last_used_at >= _TOUCH_EVERY:
        await keys.touch(key.key_id, now=now)
    return Caller(tenant=key.tenant, scopes=frozenset(key.scopes), key_id=key.key_id)
