"""Says in a run's own words what went wrong; nothing of an unknown error's text leaves the worker."""

import logging
from collections.abc import Mapping
from typing import Final

from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError, LMConfigurationError, LMError

from dspy_service.domain.errors import ModelCallError, ServiceError, StoreUnavailableError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.serving.run import ErrorCode, RunError
from workers.lm.provider_errors import redact

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
    failed = error if isinstance(error, ModelCallError) else getattr(error, "failed", None)
    if isinstance(failed, ModelCallError):
        kind = ModelErrorKind(failed.kind)
        return RunError(
            code=_CODES.get(kind, "program_error"),
            message=str(failed),
            retryable=kind.is_transient,
            retry_after_seconds=failed.retry_after_seconds,
        )
    if isinstance(error, ServiceError):
        return RunError(code="internal", message=str(error), retryable=isinstance(error, StoreUnavailableError))
    if isinstance(error, LMConfigurationError):  # DSPy's own words on options that contradict each other
        return RunError(code="program_error", message=redact(error.message))
    if isinstance(error, AdapterParseError):
        return _unreadable(is_cut_off=is_cut_off)
    _log.error("Run %s failed in its program.", run_id, exc_info=error)
    return RunError(code="program_error", message="The program failed; the operator's log names the run.")


def _unreadable(*, is_cut_off: bool) -> RunError:
    if is_cut_off:
        message = "The model's answer ended at its token limit before every field was written; raise max_tokens."
        return RunError(code="adapter_parse", message=message)
    message = "The model's answer does not have the form that the program asks for; try again, or another model."
    return RunError(code="adapter_parse", message=message, retryable=True)
