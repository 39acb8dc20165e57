"""A secret in a payload is noticed, named by its field, and never repeated."""

import pytest
from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.secrets import names_a_secret, refuse_secrets

SECRETS = [
    "sk-proj-" + "a1" * 12,
    "AKIA" + "ABCDEFGH23456789",
    "ghp_" + "a" * 36,
    "AIza" + "b" * 35,
    "Bearer abcdefgh1234",
    "https://user:hunter2@lm.example/v1",
    "https://token@lm.example/v1",
    "-----BEGIN RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_value_that_looks_like_a_key_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        refuse_secrets({"optimizer_kwargs": {"a": [{"b": f"see {secret}"}]}})

    assert [problem.field for problem in caught.value.problems] == ["optimizer_kwargs.a.0.b"]
    assert secret not in str(caught.value)


def test_a_field_name_that_is_a_key_is_not_repeated() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        refuse_secrets({"metadata": {SECRETS[0]: "x"}})

    assert [problem.field for problem in caught.value.problems] == ["metadata"]
    assert SECRETS[0] not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apikey",
        "API-Key",
        "openai_api_key",
        "authorization",
        "token",
        "tokens",
        "access_token",
        "secret",
        "client_secret",
        "password",
        "aws_secret_access_key",
        "wandb_api_key",
        "credentials",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "k", "keyboard", "tokenizer", "secretary"])
def test_harmless_names_are_left_alone(name: str) -> None:
    assert not names_a_secret(name)


def test_every_secret_is_named_at_once() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        refuse_secrets({"model_config": {"extra": {"api_key": "x"}}, "metadata": {"token": "y"}})

    assert [problem.field for problem in caught.value.problems] == ["model_config.extra.api_key", "metadata.token"]


@pytest.mark.parametrize("value", [None, 3, "https://lm.example/v1", "risk-free", ["plain"], {"note": "ask-me"}])
def test_ordinary_values_pass(value: JsonValue) -> None:
    refuse_secrets({"metadata": {"note": value}})
