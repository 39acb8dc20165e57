"""Which models a worker can reach, and what it needs for them."""

import os

import pytest

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.spec import ModelSettings
from tests.support.lm_calls import spec
from workers.lm.engine import CallLimits
from workers.lm.environment import read_provider_environment
from workers.lm.job_models import open_models
from workers.lm.registry import ModelRegistry


def _registry(**environ: str) -> ModelRegistry:
    return ModelRegistry(read_provider_environment(environ))


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai/gpt-4o-mini", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4", "ANTHROPIC_API_KEY"),
        ("gemini/gemini-2.0-flash", "GEMINI_API_KEY"),
        ("groq/llama-3", "GROQ_API_KEY"),
        ("xai/grok-3", "XAI_API_KEY"),
    ],
)
async def test_a_provider_needs_its_usual_key_and_no_other(name: str, variable: str) -> None:
    settings = ModelSettings(name=name)

    with pytest.raises(ModelCallError, match=f"set .*{variable}.* on the worker") as caught:
        _registry().target(settings)
    assert caught.value.kind is ModelErrorKind.NOT_CONFIGURED

    target = _registry(**{variable: "secret-value"}).target(settings)
    assert target.wire_model == name.split("/", 1)[1]
    assert "secret-value" not in repr(target)
    await target.engine.aclose()


@pytest.mark.parametrize("name", ["gpt-4o", "unheard-of/model", "claude-code:sonnet", "bedrock/model"])
def test_a_model_of_no_known_provider_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(ModelCallError, match="provider/model") as caught:
        _registry(OPENAI_API_KEY="k").target(ModelSettings(name=name))

    assert caught.value.kind is ModelErrorKind.UNSUPPORTED_MODEL


def test_a_cloud_that_lacks_a_setting_says_which() -> None:
    with pytest.raises(ModelCallError, match="AZURE_OPENAI_RESOURCE"):
        _registry(AZURE_API_KEY="k").target(ModelSettings(name="azure/gpt-4o"))


async def test_two_endpoints_of_one_model_have_two_aliases_and_no_price() -> None:
    registry = _registry(OPENAI_API_KEY="k")
    settings = [ModelSettings(name="openai/gpt-4o", base_url=url) for url in (None, "http://a/v1", "http://b/v1")]
    settings.append(ModelSettings(name="openai/gpt-4o", model_type="responses"))

    targets = [registry.target(one) for one in settings]

    assert len({target.alias for target in targets}) == 4
    for target in targets:
        await target.engine.aclose()


async def test_an_unprefixed_model_behind_a_base_url_speaks_openais_protocol() -> None:
    target = _registry().target(ModelSettings(name="qwen/qwen3", base_url="http://127.0.0.1:9/v1"))

    assert target.wire_model == "qwen/qwen3"
    await target.engine.aclose()


def test_the_demo_model_needs_nothing_and_its_options_are_checked() -> None:
    assert (
        _registry().target(ModelSettings(name="demo/in-context?latency_ms=5")).alias == "demo/in-context?latency_ms=5"
    )
    with pytest.raises(ModelCallError, match="sped"):
        _registry().target(ModelSettings(name="demo/in-context?sped=5"))


def test_capabilities_come_from_bundled_metadata_without_a_key() -> None:
    registry = _registry()

    openai = registry.capabilities(ModelSettings(name="openai/gpt-4o-mini"))
    unknown = registry.capabilities(ModelSettings(name="openai/unheard-of", base_url="http://a/v1"))
    demo = registry.capabilities(ModelSettings(name="demo/in-context"))

    assert openai["response_schema"] is openai["function_calling"] is True
    assert "response_format" in openai["params"]
    assert unknown["response_schema"] is unknown["function_calling"] is False
    assert demo["function_calling"] is False


def test_capabilities_do_not_follow_a_redirection_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "OPENAI_BASE_URL", "http://127.0.0.1:9/v1")

    found = _registry().capabilities(ModelSettings(name="openai/gpt-4.1-mini"))

    assert found["function_calling"] is True


def test_our_own_settings_and_redirections_are_not_kept() -> None:
    environment = read_provider_environment(
        {
            "OPENAI_API_KEY": "k",
            "DSPY_SERVICE_SECRET_KEY": "s",
            "OPENAI_BASE_URL": "http://evil",
            "OPENAI_API_BASE": "http://evil",
        }
    )

    assert dict(environment.variables) == {"OPENAI_API_KEY": "k"}
    assert not environment.uses_proxy
    assert environment.secrets == ()


def test_values_that_no_message_may_repeat_are_known() -> None:
    environment = read_provider_environment(
        {"AZURE_API_KEY": "0123abcd4567", "AZURE_API_VERSION": "2025-01-01-preview"}
    )

    assert environment.secrets == ("0123abcd4567",)
    assert "0123abcd4567" not in repr(environment)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_is_noticed(name: str) -> None:
    assert read_provider_environment({name: "http://proxy:3128"}).uses_proxy


async def test_roles_with_one_model_share_its_engine_and_show_no_address() -> None:
    job = spec(ModelSettings(name="openai/m", base_url="http://127.0.0.1:9/v1", temperature=0.5, max_tokens=500_000))

    models = await open_models(job, _registry(), CallLimits(max_tokens=1000))

    assert models["task"].engine is models["prompt"].engine
    assert models["task"].max_tokens == 500_000
    assert models["task"].shown["temperature"] == 0.5
    assert "127.0.0.1" not in repr(models["task"].shown)
    await models["task"].engine.aclose()
