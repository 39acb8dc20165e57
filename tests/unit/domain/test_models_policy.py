"""A client names models, endpoints and options; the operator decides which."""

import pytest
from pydantic import JsonValue

from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.models_policy import ModelPolicy, origin_of
from dspy_service.domain.spec import ModelSettings

OPEN = ModelPolicy(allowed_origins=frozenset({"https://lm.example:443"}), allow_loopback=True)
CLOSED = ModelPolicy()


def model(
    name: str = "openai/gpt-4o-mini", base_url: str | None = None, extra: dict[str, JsonValue] | None = None
) -> ModelSettings:
    return ModelSettings(name=name, base_url=base_url, extra=extra or {})


@pytest.mark.parametrize(
    "name",
    ["demo/in-context", "demo/in-context?latency_ms=5&seed=3", "openai/gpt-4o-mini", "openrouter/meta/llama-3:free"],
)
def test_models_with_a_provider_are_accepted(name: str) -> None:
    CLOSED.check(model(name), "model_config")


@pytest.mark.parametrize(
    "name", ["gpt-4o", "demo/other", "demo/in-context2", "openai/", "/x", "open ai/x", "openai/a b"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedRequestError, match=r"^task_model_config\.name: "):
        CLOSED.check(model(name), "task_model_config")


def test_an_operator_can_limit_the_models() -> None:
    policy = ModelPolicy(allowed_models=frozenset({"demo/in-context"}))

    policy.check(model("demo/in-context?seed=1"), "model_config")

    with pytest.raises(UnsupportedRequestError, match="the operator allows: demo/in-context"):
        policy.check(model(), "model_config")


@pytest.mark.parametrize(
    "url",
    [
        "https://lm.example/v1",
        "https://LM.example:443/v1",
        "http://localhost:9999/v1",
        "http://127.0.0.1:1234",
        "http://[::1]:8080/v1",
    ],
)
def test_allowed_and_loopback_endpoints_are_accepted(url: str) -> None:
    OPEN.check(model(base_url=url), "model_config")


@pytest.mark.parametrize(
    "url",
    [
        "http://lm.example/v1",
        "https://lm.example:8443/v1",
        "https://evil.example/v1",
        "https://lm.example.evil.example/v1",
        "https://lm.example@evil.example/v1",
        "http://169.254.169.254/latest",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "file:///etc/passwd",
        "lm.example",
        "https://",
        "https://lm.example:99999",
        "https://lm.example/v1?x=1",
        "https://lm.example\\@evil.example",
        "https://lm.example/ v1",
    ],
)
def test_other_endpoints_are_refused(url: str) -> None:
    with pytest.raises(UnsupportedRequestError, match=r"^model_config\.base_url: "):
        OPEN.check(model(base_url=url), "model_config")


def test_loopback_is_refused_when_others_can_reach_the_service() -> None:
    with pytest.raises(UnsupportedRequestError, match="not an endpoint that this service may call"):
        CLOSED.check(model(base_url="http://127.0.0.1:9"), "model_config")


def test_the_demo_model_has_no_endpoint() -> None:
    with pytest.raises(UnsupportedRequestError, match="runs inside the service"):
        OPEN.check(model("demo/in-context", base_url="http://127.0.0.1:9"), "model_config")


def test_listed_options_are_accepted() -> None:
    options: dict[str, JsonValue] = {"stop": ["\n"], "seed": 3, "reasoning_effort": "low", "presence_penalty": -1}

    CLOSED.check(model(extra=options), "model_config")


@pytest.mark.parametrize(
    ("option", "value"),
    [("stop", [1]), ("seed", "3"), ("reasoning_effort", "max"), ("api_base", "x"), ("temperature", 1), ("logprob", 1)],
)
def test_other_options_are_refused(option: str, value: JsonValue) -> None:
    with pytest.raises(UnsupportedRequestError, match=rf"model_config\.extra\.{option}"):
        CLOSED.check(model(extra={option: value}), "model_config")


def test_an_origin_is_written_with_its_port() -> None:
    assert origin_of("HTTPS://Example.COM/v1/") == "https://example.com:443"
    assert origin_of("http://[::1]") == "http://[::1]:80"
