"""Resolves the model of a role to something that can be called, and says what it can do."""

from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any

import dspy
from dspy._vendor.lm15.types import StreamEvent  # not re-exported by dspy.lm15
from dspy.clients.capabilities import capabilities as lm_capabilities
from dspy.lm15 import Request, Response

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.throttle import ProviderLimits
from workers.lm.capped_transport import MAX_ANSWER_BYTES
from workers.lm.demo.engine import AsyncDemoEngine
from workers.lm.demo.options import DemoModelNameError, parse_demo_model
from workers.lm.environment import ProviderEnvironment
from workers.lm.models_file import ModelsFile
from workers.lm.native import alias, model_type, native_model, native_target
from workers.lm.target import Target

DEMO_PREFIX = "demo/"
Capabilities = dict[str, Any]
"""``function_calling``, ``reasoning``, ``response_schema``: bool; ``params``: sorted names of OpenAI's parameters."""

_DEMO_CAPABILITIES: Capabilities = {
    "function_calling": False,
    "reasoning": False,
    "response_schema": False,
    "params": ["max_tokens", "seed", "stop", "temperature", "top_p"],
}


class ModelRegistry:
    """All models that this worker can reach: the demo model and whatever its environment has keys for.

    Args:
        environment: The keys.
        max_answer_bytes: Where the reading of a provider's answer stops.
        models: The operator's prices and limits.
        name_key: Hashes a provider's key into the name under which all workers share its limits; the service's secret.
    """

    def __init__(
        self,
        environment: ProviderEnvironment,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        models: ModelsFile | None = None,
        name_key: bytes = b"",
    ) -> None:
        self._environment = environment
        self._max_answer_bytes = max_answer_bytes
        self._models = models or ModelsFile()
        self._name_key = name_key

    def target(self, settings: ModelSettings) -> Target:
        """Return what calls a model; call it on the event loop that will.

        Raises:
            ModelCallError: the model is unknown, or its key is not set on this worker.
        """
        if is_demo(settings):
            return _demo_target(settings, self._models.limits.get("demo"))
        return native_target(
            settings,
            self._environment,
            max_answer_bytes=self._max_answer_bytes,
            models=self._models,
            name_key=self._name_key,
        )

    def capabilities(self, settings: ModelSettings) -> Capabilities:
        """Return what a model can do, from DSPy's bundled metadata; no network, no key.

        Raises:
            ModelCallError: the model is unknown.
        """
        if is_demo(settings):
            return dict(_DEMO_CAPABILITIES)
        return dict(_native_capabilities(native_model(settings), model_type(settings)))


def is_demo(settings: ModelSettings) -> bool:
    """Whether the in-process demo model is meant."""
    return settings.name.startswith(DEMO_PREFIX) and not settings.base_url


@lru_cache(maxsize=256)
def _native_capabilities(model: str, kind: str) -> Mapping[str, Any]:
    # engine="lm15": with "auto", a variable such as OPENAI_BASE_URL would make DSPy import LiteLLM here
    known = lm_capabilities(dspy.LM(model, model_type=kind, engine="lm15", cache=False))
    return {
        "function_calling": known.function_calling,
        "reasoning": known.reasoning,
        "response_schema": known.response_schema,
        "params": sorted(known.params),
    }


class _DemoEngine:
    """The demo model behind the metered engine."""

    def __init__(self, engine: AsyncDemoEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request, *, sample: str) -> Response:
        return await self._engine.complete(request, sample=sample)

    def stream(self, request: Request, *, sample: str) -> AsyncIterator[StreamEvent]:
        return self._engine.stream(request, sample=sample)

    async def aclose(self) -> None:
        await self._engine.aclose()


def _demo_target(settings: ModelSettings, limits: ProviderLimits | None) -> Target:
    try:
        options = parse_demo_model(settings.name)
    except DemoModelNameError as error:
        raise ModelCallError(ModelErrorKind.UNSUPPORTED_MODEL, str(error), model=settings.name) from error
    engine = _DemoEngine(AsyncDemoEngine(options))
    return Target(
        alias=alias(settings),
        wire_model=settings.name,
        engine=engine,
        price=lambda _request, _response: 0.0,  # it runs here and costs nothing
        provider="demo" if limits else "",  # its simulated refusals slow nobody else down
        place="demo",
        provider_limits=limits or ProviderLimits(),
        streams=engine,
    )
