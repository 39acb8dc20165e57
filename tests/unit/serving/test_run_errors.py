"""What a run's readers are told of an error, and what they are not."""

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError, LMConfigurationError

from dspy_service.domain.errors import ModelCallError, StoreUnavailableError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.serving.errors import ProgramNotFoundError
from workers.serving.run_errors import for_dspy, run_error


@pytest.mark.parametrize("kind", list(ModelErrorKind))
def test_every_failure_of_a_model_has_a_code_and_keeps_its_sentence(kind: ModelErrorKind) -> None:
    failed = ModelCallError(kind, "It failed so.", model="m", retry_after_seconds=3)

    told = run_error(for_dspy(failed), run_id="run_1")

    assert told == run_error(failed, run_id="run_1")
    assert told.message == "It failed so."
    assert told.retryable is kind.is_transient
    assert told.retry_after_seconds == 3


def test_a_prompt_that_is_too_long_is_what_modules_of_dspy_can_handle() -> None:
    failed = ModelCallError(ModelErrorKind.CONTEXT_WINDOW, "Too long.", model="m")

    assert isinstance(for_dspy(failed), ContextWindowExceededError)
    assert run_error(for_dspy(failed), run_id="run_1").code == "lm_context_overflow"


def test_nothing_of_an_unknown_error_is_told() -> None:
    told = run_error(ZeroDivisionError("secret row 42"), run_id="run_1")

    assert (told.code, told.retryable) == ("program_error", False)
    assert "secret" not in told.message


def test_nothing_of_the_models_words_is_told_when_they_cannot_be_read() -> None:
    error = AdapterParseError("ChatAdapter", dspy.Signature("a -> b"), "the model's private words")

    assert "private" not in run_error(error, run_id="run_1").message
    assert "max_tokens" in run_error(error, run_id="run_1", is_cut_off=True).message


def test_options_that_contradict_each_other_are_explained() -> None:
    told = run_error(LMConfigurationError("max_tokens must be at least 16000"), run_id="run_1")

    assert "16000" in told.message


def test_a_fault_of_the_service_is_ours() -> None:
    gone = run_error(ProgramNotFoundError("answers"), run_id="run_1")
    away = run_error(StoreUnavailableError("The store does not answer."), run_id="run_1")

    assert (gone.code, gone.retryable) == ("internal", False)
    assert (away.code, away.retryable) == ("internal", True)
