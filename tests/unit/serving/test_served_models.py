"""Models of a serving process: opened once, closed when others push them out."""

import dspy
import pytest

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.serving.run import RunOptions
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.throttle import ProviderLimits
from tests.support.lm_calls import ScriptedEngine, ScriptedRegistry, response
from tests.support.throttles import ScriptedThrottle
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.lm.target import Target
from workers.serving.engine import StreamLimits
from workers.serving.models import ServedModels


async def _answer(_request: object) -> object:
    return response("ok")


class Registry(ScriptedRegistry):
    """Opens an engine of its own for each model."""

    def __init__(self) -> None:
        super().__init__(_answer)
        self.opened: dict[str, ScriptedEngine] = {}

    def target(self, settings: ModelSettings) -> Target:
        self.opened[settings.name] = self.engine = ScriptedEngine(_answer)
        return super().target(settings)


async def test_a_model_is_opened_once_whatever_its_options_are() -> None:
    registry = Registry()
    models = ServedModels(registry, StreamLimits())

    cold = models.of(ModelSettings(name="a", temperature=0.0))
    warm = models.of(ModelSettings(name="a", temperature=0.9))
    again = models.of(ModelSettings(name="a", temperature=0.0))

    assert cold.engine is warm.engine
    assert again is cold
    assert (cold.lm.kwargs["temperature"], warm.lm.kwargs["temperature"]) == (0.0, 0.9)
    await models.aclose()
    assert registry.opened["a"].closed


async def test_the_model_that_was_not_used_for_longest_is_closed() -> None:
    registry = Registry()
    models = ServedModels(registry, StreamLimits(), max_models=2)

    for name in ("a", "b", "a", "c"):
        models.of(ModelSettings(name=name))
    closing = list(models._closing)
    for task in closing:
        await task

    assert [name for name, engine in registry.opened.items() if engine.closed] == ["b"]
    await models.aclose()
    assert all(engine.closed for engine in registry.opened.values())


async def test_a_model_without_a_key_says_which_variable_is_missing() -> None:
    models = ServedModels(ModelRegistry(read_provider_environment({})), StreamLimits())

    with pytest.raises(ModelCallError, match="OPENAI_API_KEY"):
        models.of(ModelSettings(name="openai/gpt-4o-mini"))


async def test_options_of_a_run_change_nothing_for_others() -> None:
    model = ServedModels(Registry(), StreamLimits()).of(ModelSettings(name="a", max_tokens=5))

    changed = model.for_options(RunOptions(max_tokens=9, stop=["x"]))

    assert (changed.kwargs["max_tokens"], changed.kwargs["stop"]) == (9, ["x"])
    assert model.lm.kwargs["max_tokens"] == 5
    assert model.for_options(RunOptions()) is model.lm


async def test_a_reasoning_model_takes_the_limit_under_its_own_name() -> None:
    model = ServedModels(Registry(), StreamLimits()).of(ModelSettings(name="openai/gpt-5", max_tokens=20_000))

    changed = model.for_options(RunOptions(max_tokens=30_000))

    assert changed.kwargs["max_completion_tokens"] == 30_000
    assert "max_tokens" not in changed.kwargs


async def test_the_kind_of_a_providers_api_and_other_options_reach_dspy() -> None:
    settings = ModelSettings(name="a", model_type="responses", top_p=0.5, extra={"seed": 4})

    lm = ServedModels(Registry(), StreamLimits()).of(settings).lm

    assert (lm.model_type, lm.kwargs["top_p"], lm.kwargs["seed"]) == ("responses", 0.5, 4)
    assert (lm.cache, lm.num_retries) == (False, 0)


async def test_a_synchronous_call_is_refused_because_it_would_stop_all_other_runs() -> None:
    model = ServedModels(Registry(), StreamLimits()).of(ModelSettings(name="a"))

    with pytest.raises(dspy.LMError, match="acall"):
        model.lm("hello")


async def test_runs_of_a_tenant_wait_in_one_line_at_a_provider() -> None:
    throttle = ScriptedThrottle()
    models = ServedModels(Registry(), StreamLimits(), throttle=throttle)
    counted = Target("a", "a", ScriptedEngine(_answer), lambda *_: 0.0, provider="p", provider_limits=ProviderLimits())
    uncounted = Target("b", "b", ScriptedEngine(_answer), lambda *_: 0.0)

    lines = [models.line(tenant, counted) for tenant in ("acme", "acme", "other")]

    assert lines[0] is lines[1]
    assert lines[0] is not lines[2]
    assert models.line("acme", uncounted) is None
    assert ServedModels(Registry(), StreamLimits()).line("acme", counted) is None
    await models.aclose()
