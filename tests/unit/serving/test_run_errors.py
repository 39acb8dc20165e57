"""What a run's readers are told of an error, and what they are not."""

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError, LMConfigurationError

from dspy_service.domain.errors import ModelCallError, StoreUnavailableError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.serving.errors import ProgramNotFoundError
from workers.serving.run_errors import for_dspy, run_error


@pytest.mark.parametrize("kind", [each for each in ModelErrorKind if each is not ModelErrorKind.UNEXPECTED])
def test_every_failure_of_a_model_names_the_model_its_kind_and_the_providers_sentence(kind: ModelErrorKind) -> None:
    failed = ModelCallError(kind, "It failed so.", model="m", retry_after_seconds=3)

    told = run_error(for_dspy(failed), run_id="run_1")

    assert told == run_error(failed, run_id="run_1")
    assert told.message == f"The model m failed ({kind}): It failed so."
    assert (told.model, told.kind) == ("m", kind)
    assert told.retryable is kind.is_transient
    assert told.retry_after_seconds == 3
    assert told.code != "program_error"


@pytest.mark.parametrize("kind", ["invalid_request", "unsupported_model", "unsupported_feature", "refused"])
def test_a_refusal_without_a_word_of_its_own_is_a_model_error(kind: str) -> None:
    told = run_error(ModelCallError(kind, "No."), run_id="run_1")

    assert (told.code, told.model, told.kind) == ("model_error", None, kind)
    assert told.message == f"The model of this program failed ({kind}): No."


def test_the_address_of_a_model_is_not_told() -> None:
    failed = ModelCallError(ModelErrorKind.SERVER, "Busy.", model="openai/test@http://10.0.0.7:8000/v1")

    told = run_error(failed, run_id="run_1")

    assert (told.model, told.message) == ("openai/test", "The model openai/test failed (server): Busy.")


def test_a_module_that_raises_its_own_error_from_a_refusal_tells_the_refusal() -> None:
    refused = for_dspy(ModelCallError(ModelErrorKind.RATE_LIMIT, "Slowly.", model="m"))
    raised = RuntimeError("The step failed.")
    raised.__cause__ = refused

    assert run_error(raised, run_id="run_1") == run_error(refused, run_id="run_1")


def test_a_key_in_a_providers_words_is_not_told() -> None:
    words = "Wrong key sk-abcdefgh12345678 sent as Authorization: Bearer abcdefgh12345678"

    told = run_error(ModelCallError(ModelErrorKind.AUTH, words, model="m"), run_id="run_1")

    assert "12345678" not in told.message
    assert told.message.startswith("The model m failed (auth): Wrong key [redacted]")


def test_nothing_of_a_models_unexpected_error_is_told(caplog: pytest.LogCaptureFixture) -> None:
    failed = ModelCallError(ModelErrorKind.UNEXPECTED, "KeyError: 'secret row 42'", model="m")

    told = run_error(failed, run_id="run_1")

    assert (told.code, told.kind) == ("model_error", "unexpected")
    assert "secret" not in told.message
    assert "run_1" in caplog.text


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

    assert (told.code, told.kind) == ("model_error", "configuration")
    assert "16000" in told.message


def test_a_fault_of_the_service_is_ours() -> None:
    gone = run_error(ProgramNotFoundError("answers"), run_id="run_1")
    away = run_error(StoreUnavailableError("The store does not answer."), run_id="run_1")

    assert (gone.code, gone.retryable) == ("internal", False)
    assert (away.code, away.retryable) == ("internal", True)
