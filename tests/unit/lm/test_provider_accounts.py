"""Whose calls a provider counts together, and what the operator says that it allows."""

import pytest

from dspy_service.adapters.memory import MemoryCallThrottle
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.throttle import CallGrant, CallWish, ProviderLimits
from tests.support.throttles import settled
from workers.lm.environment import read_provider_environment
from workers.lm.models_file import ModelsFile
from workers.lm.provider_lines import ProviderLines
from workers.lm.registry import ModelRegistry
from workers.lm.target import Target

KEY = "sk-0123456789abcdef"
LIMITS = ModelsFile(
    limits={
        "openai": ProviderLimits(max_in_flight=3),
        "http://127.0.0.1:9": ProviderLimits(max_in_flight=5),
        "demo": ProviderLimits(max_in_flight=7),
    }
)


def target_of(
    name: str,
    *,
    base_url: str | None = None,
    models: ModelsFile | None = None,
    name_key: bytes = b"secret",
    **environ: str,
) -> Target:
    environment = read_provider_environment({"OPENAI_API_KEY": KEY, "XAI_API_KEY": KEY, **environ})
    registry = ModelRegistry(environment, models=models, name_key=name_key)
    return registry.target(ModelSettings(name=name, base_url=base_url))


async def test_models_of_one_key_are_counted_together_in_every_worker() -> None:
    targets = [target_of("openai/gpt-4o"), target_of("openai/gpt-4o-mini"), target_of("openai/gpt-4o")]

    assert len({target.provider for target in targets}) == 1


@pytest.mark.parametrize("name", ["openai/gpt-4o", "xai/grok-4"])
async def test_two_keys_are_two_accounts_and_no_name_tells_a_key(name: str) -> None:
    one = target_of(name)
    other = target_of(name, OPENAI_API_KEY="sk-other-0123456789", XAI_API_KEY="sk-other-0123456789")
    without_secret = target_of(name, name_key=b"another")

    assert len({one.provider, other.provider, without_secret.provider}) == 3
    assert one.provider.startswith(name.partition("/")[0] + ":")
    assert KEY[3:] not in one.provider


async def test_an_endpoint_is_counted_by_its_origin() -> None:
    targets = [target_of(name, base_url=f"http://127.0.0.1:9/{path}") for name, path in [("a/b", "v1"), ("c/d", "v2")]]

    assert [target.provider for target in targets] == ["http://127.0.0.1:9"] * 2


async def test_the_operators_limits_are_found_by_prefix_or_origin() -> None:
    places = [("openai/gpt-4o", None), ("openai/x", "http://127.0.0.1:9/v1"), ("demo/in-context", None)]

    found = [target_of(name, base_url=url, models=LIMITS).provider_limits.max_in_flight for name, url in places]

    assert found == [3, 5, 7]
    assert target_of("xai/grok-4", models=LIMITS).provider_limits.is_empty


class Named(MemoryCallThrottle):
    """Remembers whose calls it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.providers: list[str] = []

    async def pressure(self, provider: str) -> bool:
        self.providers.append(provider)
        return await super().pressure(provider)

    async def take(self, provider: str, wish: CallWish, *, limits: ProviderLimits) -> CallGrant:
        self.providers.append(provider)
        return await super().take(provider, wish, limits=limits)


@pytest.mark.parametrize(
    ("place", "counted"),
    [
        ({"name": "openai/x", "base_url": "http://127.0.0.1:8/v1"}, 2),
        ({"name": "openai/x", "base_url": "http://127.0.0.1:9/v1"}, 1),  # the operator names it: it is his own
        ({"name": "openai/x"}, 1),
    ],
)
async def test_a_clients_own_endpoint_holds_up_no_other_tenant(place: dict[str, str], counted: int) -> None:
    throttle = Named()

    for tenant in ("acme", "other"):
        line = ProviderLines(throttle, tenant=tenant, job_id=tenant).of(target_of(**place, models=LIMITS))
        assert line is not None
        await line.enter()
        await settled()
        await line.aclose()

    assert len(throttle.providers) == 2
    assert len(set(throttle.providers)) == counted


async def test_the_owner_of_a_job_knows_a_provider_by_its_prefix_or_origin() -> None:
    shown = [target_of("openai/gpt-4o").place, target_of("a/b", base_url="http://127.0.0.1:9/v1").place]

    assert shown == ["openai", "http://127.0.0.1:9"]


async def test_the_demo_model_is_counted_only_where_it_is_limited() -> None:
    assert target_of("demo/in-context?seed=3", models=LIMITS).provider == "demo"
    assert target_of("demo/in-context").provider == ""


async def test_the_models_of_a_job_share_a_line_where_they_share_an_account() -> None:
    lines = ProviderLines(MemoryCallThrottle(), tenant="acme", job_id="j1")

    one, other = lines.of(target_of("openai/gpt-4o")), lines.of(target_of("openai/gpt-4o-mini"))

    assert one is not None
    assert one is other
    assert lines.of(target_of("xai/grok-4")) is not one
    assert lines.of(target_of("demo/in-context")) is None
    assert ProviderLines(None, tenant="acme", job_id="j1").of(target_of("openai/gpt-4o")) is None
