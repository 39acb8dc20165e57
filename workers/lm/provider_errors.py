"""Translates what a provider's adapter raises into our own error, with a kind that decides about retries."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from dspy import lm15

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind

_KINDS: Final[tuple[tuple[type[Exception], ModelErrorKind], ...]] = (  # a class stands before its parents
    (lm15.ContextLengthError, ModelErrorKind.CONTEXT_WINDOW),
    (lm15.AuthError, ModelErrorKind.AUTH),
    (lm15.BillingError, ModelErrorKind.BILLING),
    (lm15.RateLimitError, ModelErrorKind.RATE_LIMIT),
    (lm15.UnsupportedModelError, ModelErrorKind.UNSUPPORTED_MODEL),
    (lm15.InvalidRequestError, ModelErrorKind.INVALID_REQUEST),
    (lm15.TimeoutError, ModelErrorKind.TIMEOUT),
    (lm15.ServerError, ModelErrorKind.SERVER),
    (lm15.CapabilityError, ModelErrorKind.UNSUPPORTED_FEATURE),
    (lm15.UnknownModelError, ModelErrorKind.UNSUPPORTED_MODEL),
    (lm15.NotConfiguredError, ModelErrorKind.NOT_CONFIGURED),
    (lm15.ConfigurationError, ModelErrorKind.CONFIGURATION),
    (lm15.TransportError, ModelErrorKind.TRANSPORT),
    (lm15.LockTimeoutError, ModelErrorKind.TRANSPORT),
    (lm15.ProviderError, ModelErrorKind.PROVIDER),
)

PERMANENT: Final[frozenset[ModelErrorKind]] = frozenset(
    {
        ModelErrorKind.CONTEXT_WINDOW,
        ModelErrorKind.INVALID_REQUEST,
        ModelErrorKind.UNSUPPORTED_FEATURE,
    },
)
"""Kinds that follow from the request alone, so that they are journalled: they steer the optimizer's path.

A bad key, an empty account or a model that is not there is permanent too, but an operator can mend it before the job
is tried again.
"""

_OK: Final = 200
_SERVER_CODES: Final = frozenset({"server_error", "internal_error", "internal_server_error", "service_unavailable"})
"""Words of a provider that fails while it answers; there is no status any more that would tell."""

_NOT_FOUND: Final = 404
_MAX_MESSAGE_CHARS: Final = 2_000
_ADVICE: Final = re.compile(r"\n\s*(?:To fix:|credential came from:).*", re.DOTALL)  # lm15's, about its own API
_KEY_LIKE: Final = re.compile(r"\b(?:sk|pk|key|gsk|xai)-[A-Za-z0-9_*-]{6,}|\bAIza[\w-]{20,}|(?i:bearer)\s+\S+")


def translate(error: Exception, *, model: str, secrets: Iterable[str] = ()) -> ModelCallError:
    """Return our error for whatever an engine raised, without ``secrets``; a kind is never guessed from a text."""
    kind = next((kind for source, kind in _KINDS if isinstance(error, source)), ModelErrorKind.UNEXPECTED)
    if kind is ModelErrorKind.INVALID_REQUEST and getattr(error, "status", None) == _NOT_FOUND:
        kind = ModelErrorKind.UNSUPPORTED_MODEL  # nothing is wrong with the request: nobody is there who could take it
    if kind is ModelErrorKind.PROVIDER and getattr(error, "status", None) == _OK:
        kind = ModelErrorKind.TRANSPORT  # a page of some gateway, or a part of an answer: not what the provider said
    if kind is ModelErrorKind.PROVIDER and getattr(error, "provider_code", None) in _SERVER_CODES:
        kind = ModelErrorKind.SERVER
    text = error.message if isinstance(error, lm15.LM15Error) else f"{type(error).__name__}: {error}"
    return ModelCallError(
        kind,
        redact(_ADVICE.sub("", text or kind).strip(), secrets)[:_MAX_MESSAGE_CHARS],
        model=model,
        retry_after_seconds=getattr(error, "retry_after", None),
    )


def missing_key(model: str, env_keys: tuple[str, ...]) -> ModelCallError:
    """Return the error that tells the operator which variable to set."""
    names = " or ".join(env_keys) or "the provider's key"
    return ModelCallError(
        ModelErrorKind.NOT_CONFIGURED,
        f"There is no key for {model}: set {names} on the worker.",
        model=model,
    )


def as_fields(error: ModelCallError) -> Mapping[str, object]:
    """Return the ``error`` object of an ``answer`` frame."""
    return {
        "kind": error.kind,
        "message": str(error),
        "model": error.model,
        "retry_after_seconds": error.retry_after_seconds,
    }


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide known secrets and what looks like a key: providers repeat a rejected one in their messages."""
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    return _KEY_LIKE.sub("[redacted]", text)
