"""Says in a run's own words what went wrong; nothing of an unknown error's text leaves the worker."""

import logging
from collections.abc import Mapping
from typing import Final

from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError, LMConfigurationError, LMError

from dspy_service.domain.errors import ModelCallError, ServiceError, StoreUnavailableError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.redaction import redact
from dspy_service.domain.serving.run import ErrorCode, RunError
from workers.lm.provider_errors import redact as without_keys

_log: Final = logging.getLogger(__name__)

_CODES: Final[Mapping[ModelErrorKind, ErrorCode]] = {
    ModelErrorKind.AUTH: "lm_auth",
    ModelErrorKind.BILLING: "lm_auth",
    ModelErrorKind.NOT_CONFIGURED: "lm_auth",
    ModelErrorKind.RATE_LIMIT: "lm_rate_limited",
    ModelErrorKind.TIMEOUT: "lm_timeout",
    ModelErrorKind.SERVER: "lm_transport",
    ModelErrorKind.TRANSPORT: "lm_transport",
    ModelErrorKind.PROVIDER: "lm_transport",
    ModelErrorKind.CONTEXT_WINDOW: "lm_context_overflow",
    ModelErrorKind.BUDGET: "budget_exceeded",
}
"""Kinds with a word of their own; any other failure of a model is a ``model_error``."""

_UNKNOWN: Final = "an error that has no name here; the operator's log names the run."


class ServedCallError(LMError):  # type: ignore[misc]  # DSPy is untyped
    """DSPy's view of a failed call; carries ours."""

    def __init__(self, failed: ModelCallError) -> None:
        super().__init__(str(failed), code=failed.kind, model=failed.model, retry_after=failed.retry_after_seconds)
        self.failed = failed


class PromptTooLongError(ContextWindowExceededError):  # type: ignore[misc]  # DSPy is untyped
    """The same for the one kind that DSPy's own modules handle."""

    def __init__(self, failed: ModelCallError) -> None:
        super().__init__(model=failed.model, message=str(failed))
        self.failed = failed


class KnownRunError(Exception):
    """A run's end in words that the caller may read as they are."""

    def __init__(self, told: RunError) -> None:
        super().__init__(told.message)
        self.told = told


def for_dspy(failed: ModelCallError) -> LMError:
    """Return the error that DSPy's modules know."""
    if failed.kind == ModelErrorKind.CONTEXT_WINDOW:
        return PromptTooLongError(failed)
    return ServedCallError(failed)


def run_error(error: Exception, *, run_id: str, is_cut_off: bool = False) -> RunError:
    """Return what a run's readers are told.

    Args:
        error: What the program ended with.
        run_id: For the log, where the whole error goes.
        is_cut_off: Whether the model's last answer ended at its token limit.
    """
    if isinstance(error, KnownRunError):
        return error.told
    failed = _failed_call(error)
    if failed is not None:
        return _model_error(failed, run_id)
    if isinstance(error, ServiceError):
        return RunError(code="internal", message=str(error), retryable=isinstance(error, StoreUnavailableError))
    if isinstance(error, LMConfigurationError):  # DSPy's own words on options that contradict each other
        kind = ModelErrorKind.CONFIGURATION
        return RunError(code="model_error", message=_clean(error.message), model=error.model, kind=kind.value)
    if isinstance(error, AdapterParseError):
        return unreadable(is_cut_off=is_cut_off)
    _log.error("Run %s failed in its program.", run_id, exc_info=error)
    return RunError(code="program_error", message="The program failed; the operator's log names the run.")


def _failed_call(error: BaseException | None) -> ModelCallError | None:
    """Return the call that failed, also when a module raised its own error from it."""
    while error is not None:
        failed = error if isinstance(error, ModelCallError) else getattr(error, "failed", None)
        if isinstance(failed, ModelCallError):
            return failed
        error = error.__cause__
    return None


def _model_error(failed: ModelCallError, run_id: str) -> RunError:
    kind = ModelErrorKind.of(failed.kind)
    model = failed.model.partition("@http")[0]  # an alias has the address behind it, which is the operator's own affair
    told = _clean(str(failed))
    if kind is ModelErrorKind.UNEXPECTED:
        _log.error("A model call of run %s failed.", run_id, exc_info=failed)
        told = _UNKNOWN
    return RunError(
        code=_CODES.get(kind, "model_error"),
        message=f"The model {model or 'of this program'} failed ({kind.value}): {told}",
        retryable=kind.is_transient,
        retry_after_seconds=failed.retry_after_seconds,
        model=model or None,
        kind=kind.value,
    )


def _clean(text: str) -> str:
    """Return a provider's words without what looks like a key: some repeat the one that they refuse."""
    return redact(without_keys(text))


def unreadable(*, is_cut_off: bool) -> RunError:
    """Return what readers are told of an answer that the adapter cannot read."""
    if is_cut_off:
        message = "The model's answer ended at its token limit before every field was written; raise max_tokens."
        return RunError(code="adapter_parse", message=message)
    message = "The model's answer does not have the form that the program asks for; try again, or another model."
    return RunError(code="adapter_parse", message=message, retryable=True)
