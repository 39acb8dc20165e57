"""Turns a failed call, as it comes over the socket, into the error that DSPy's modules know."""

from collections.abc import Mapping
from typing import Any, Final

from dspy.utils import exceptions as dspy_errors

from dspy_service.domain.model_errors import ModelErrorKind

_CLASSES: Final[Mapping[ModelErrorKind, type[dspy_errors.LMError]]] = {
    ModelErrorKind.AUTH: dspy_errors.LMAuthError,
    ModelErrorKind.BILLING: dspy_errors.LMBillingError,
    ModelErrorKind.RATE_LIMIT: dspy_errors.LMRateLimitError,
    ModelErrorKind.TIMEOUT: dspy_errors.LMTimeoutError,
    ModelErrorKind.SERVER: dspy_errors.LMServerError,
    ModelErrorKind.TRANSPORT: dspy_errors.LMTransportError,
    ModelErrorKind.INVALID_REQUEST: dspy_errors.LMInvalidRequestError,
    ModelErrorKind.UNSUPPORTED_MODEL: dspy_errors.LMUnsupportedModelError,
    ModelErrorKind.UNSUPPORTED_FEATURE: dspy_errors.LMUnsupportedFeatureError,
    ModelErrorKind.NOT_CONFIGURED: dspy_errors.LMNotConfiguredError,
    ModelErrorKind.CONFIGURATION: dspy_errors.LMConfigurationError,
    ModelErrorKind.PROVIDER: dspy_errors.LMProviderError,
    ModelErrorKind.REFUSED: dspy_errors.LMConfigurationError,
    ModelErrorKind.UNEXPECTED: dspy_errors.LMUnexpectedError,
}
"""Kinds with a class of their own; a context window error takes other arguments, a spent budget ends a stage."""


def error_of(data: Mapping[str, Any]) -> dspy_errors.LMError:
    """Return DSPy's own error for what the other end of the socket reports."""
    kind = ModelErrorKind.of(data.get("kind"))
    message = str(data.get("message") or kind.value)
    model = data.get("model") or None
    retry_after = data.get("retry_after_seconds")
    if kind is ModelErrorKind.CONTEXT_WINDOW:
        return dspy_errors.ContextWindowExceededError(model=model, message=message)
    error_class = _CLASSES.get(kind, dspy_errors.LMError)
    return error_class(message, code=kind.value, model=model, retry_after=retry_after)
