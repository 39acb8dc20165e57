"""A provider's failures in our words."""

import pytest
from dspy import lm15
from dspy._vendor.lm15.errors import with_credential_origin  # not re-exported by dspy.lm15

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from workers.lm.provider_errors import as_fields, missing_key, translate


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (lm15.ContextLengthError("long"), ModelErrorKind.CONTEXT_WINDOW),
        (lm15.AuthError("no"), ModelErrorKind.AUTH),
        (lm15.BillingError("no"), ModelErrorKind.BILLING),
        (lm15.RateLimitError("no"), ModelErrorKind.RATE_LIMIT),
        (lm15.UnsupportedModelError("no"), ModelErrorKind.UNSUPPORTED_MODEL),
        (lm15.InvalidRequestError("no"), ModelErrorKind.INVALID_REQUEST),
        (lm15.InvalidRequestError("no", status=422), ModelErrorKind.INVALID_REQUEST),
        (lm15.InvalidRequestError("nothing here", status=404), ModelErrorKind.UNSUPPORTED_MODEL),
        (lm15.TimeoutError("no"), ModelErrorKind.TIMEOUT),
        (lm15.ServerError("no"), ModelErrorKind.SERVER),
        (lm15.UnsupportedFeatureError("no"), ModelErrorKind.UNSUPPORTED_FEATURE),
        (lm15.NotConfiguredError("no"), ModelErrorKind.NOT_CONFIGURED),
        (lm15.ConfigurationError("no"), ModelErrorKind.CONFIGURATION),
        (lm15.TransportError("no"), ModelErrorKind.TRANSPORT),
        (lm15.ProviderError("no"), ModelErrorKind.PROVIDER),
        (lm15.ProviderError("no", provider_code="odd"), ModelErrorKind.PROVIDER),
        (lm15.ProviderError("no", provider_code="server_error"), ModelErrorKind.SERVER),
        (KeyError("no"), ModelErrorKind.UNEXPECTED),
    ],
)
def test_every_class_has_its_kind(error: Exception, kind: ModelErrorKind) -> None:
    translated = translate(error, model="openai/x")

    assert translated.kind is kind
    assert translated.model == "openai/x"


def test_where_a_key_was_found_is_the_operators_own_affair() -> None:
    refused = with_credential_origin(lm15.AuthError("Bad key"), "environment variable OPENAI_API_KEY")

    assert str(translate(refused, model="m")) == "Bad key"


def test_the_providers_words_stay_and_its_librarys_advice_goes() -> None:
    translated = translate(lm15.RateLimitError("Too many", retry_after=2.0), model="m")

    assert str(translated) == "Too many"
    assert translated.retry_after_seconds == 2.0


@pytest.mark.parametrize(
    "secret", ["sk-proj-abcdef123456", "sk-ant-api03-ABCDEF", "AIzaSyA1234567890abcdefghijk", "gsk-123456789"]
)
def test_a_key_that_a_provider_repeats_is_hidden(secret: str) -> None:
    translated = translate(lm15.AuthError(f"Incorrect API key provided: {secret}."), model="m")

    assert secret not in str(translated)
    assert "[redacted]" in str(translated)


def test_a_known_secret_of_any_shape_is_hidden() -> None:
    translated = translate(lm15.AuthError("key 0123abcd4567 is wrong"), model="m", secrets=["0123abcd4567"])

    assert str(translated) == "key [redacted] is wrong"


def test_a_missing_key_names_the_variable() -> None:
    assert "set OPENAI_API_KEY on the worker" in str(missing_key("openai/x", ("OPENAI_API_KEY",)))


def test_the_fields_of_an_answer_are_complete() -> None:
    error = ModelCallError(ModelErrorKind.SERVER, "down", model="m", retry_after_seconds=1.5)

    assert as_fields(error) == {"kind": "server", "message": "down", "model": "m", "retry_after_seconds": 1.5}
