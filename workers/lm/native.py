"""Providers over DSPy's own HTTP engine, one transport per model and event loop."""

from collections.abc import Mapping
from typing import Final, Literal

from dspy._vendor.lm15.router import LITELLM_PROVIDER_PREFIXES  # not re-exported by dspy.lm15
from dspy._vendor.lm15.transports import StdlibAsyncTransport  # not re-exported by dspy.lm15
from dspy.clients.costs import estimate_cost
from dspy.clients.engines.lm15_engine import AsyncLM15Engine
from dspy.lm15 import AuthError, LM15Error, NotConfiguredError, Request, Response, RouterConfig

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.spec import ModelSettings
from workers.lm.capped_transport import CappedTransport
from workers.lm.engine import Target
from workers.lm.environment import ProviderEnvironment
from workers.lm.provider_errors import missing_key, translate

PLACEHOLDER_KEY: Final = "placeholder"
"""What a client's own endpoint gets instead of an operator's key; many servers insist on some key."""

PREFIXES: Final = tuple(sorted(LITELLM_PROVIDER_PREFIXES))
_EXPLICIT_KEYS: Final = {"xai": "XAI_API_KEY"}
"""Providers whose adapter would otherwise look for a person's login in files."""
_MAX_CONNECTIONS: Final = 256


class NativeEngine:
    """One provider, found once: DSPy's engine would look it up on a thread for every call."""

    def __init__(self, provider: object, transport: StdlibAsyncTransport) -> None:
        self._complete = provider.complete  # type: ignore[attr-defined]  # lm15's adapters are untyped
        self._transport = transport

    async def complete(self, request: Request, *, sample: str) -> Response:  # noqa: ARG002  # real models sample
        """See AsyncEngine."""
        response: Response = await self._complete(request)
        return response

    async def aclose(self) -> None:
        """See AsyncEngine."""
        await self._transport.aclose()


def native_target(settings: ModelSettings, environment: ProviderEnvironment, *, max_answer_bytes: int) -> Target:
    """Return what calls a provider's model, or a model behind a client's own ``base_url``.

    Raises:
        ModelCallError: there is no such provider, or the operator has set no key for it.
    """
    model = native_model(settings)
    transport = CappedTransport(
        max_answer_bytes=max_answer_bytes,
        trust_env=environment.uses_proxy,
        read_timeout=None,  # the metered engine bounds the whole attempt; each of these would cost a task per call
        write_timeout=None,
        pool_timeout=None,
        max_connections=_MAX_CONNECTIONS,
    )
    variables: Mapping[str, str] = {} if settings.base_url else environment.variables
    try:
        resolution = AsyncLM15Engine(RouterConfig(env={}), model_type=model_type(settings)).resolve(model)
        keys = _keys(resolution.provider, settings, variables)
        urls = {resolution.provider: settings.base_url} if settings.base_url else None
        config = RouterConfig(env=variables, api_keys=keys, base_urls=urls, transport=transport)
        engine = AsyncLM15Engine(config, model_type=model_type(settings))
        provider = engine.router.lm(f"{resolution.provider}:{resolution.model}")
    except (AuthError, NotConfiguredError) as error:
        env_keys = tuple(getattr(error, "env_keys", ()))
        raise (missing_key(settings.name, env_keys) if env_keys else translate(error, model=settings.name)) from error
    except LM15Error as error:
        raise translate(error, model=settings.name) from error
    price_provider = None if settings.base_url else resolution.provider
    return Target(
        alias=alias(settings),
        wire_model=resolution.model,
        engine=NativeEngine(provider, transport),
        price=lambda request, response: _price(request, response, price_provider),
        secrets=environment.secrets,
    )


def native_model(settings: ModelSettings) -> str:
    """Return the model's name with a provider's prefix.

    Raises:
        ModelCallError: the prefix is no provider that we speak to, and no ``base_url`` says where the model is.
    """
    prefix, _, rest = settings.name.partition("/")
    if rest and prefix in LITELLM_PROVIDER_PREFIXES:
        return settings.name
    if settings.base_url:
        return f"openai/{settings.name}"
    message = (
        f"{settings.name!r} names no provider. Write provider/model with one of {', '.join(PREFIXES)}, "
        f"or give a base_url."
    )
    raise ModelCallError(ModelErrorKind.UNSUPPORTED_MODEL, message, model=settings.name)


def model_type(settings: ModelSettings) -> Literal["chat", "responses"]:
    """Return which of a provider's two APIs is meant."""
    return settings.model_type or "chat"


def alias(settings: ModelSettings) -> str:
    """Return the stable name under which a model is journalled; two endpoints have two names."""
    name = settings.name if settings.model_type is None else f"{settings.name}#{settings.model_type}"
    return f"{name}@{settings.base_url}" if settings.base_url else name


def _keys(provider: str, settings: ModelSettings, variables: Mapping[str, str]) -> dict[str, str] | None:
    if settings.base_url:
        return {provider: PLACEHOLDER_KEY}
    variable = _EXPLICIT_KEYS.get(provider)
    if variable is None:
        return None
    if not variables.get(variable):
        raise missing_key(settings.name, (variable,))
    return {provider: variables[variable]}


def _price(request: Request, response: Response, provider: str | None) -> float | None:
    """Return the price by the snapshot that comes with DSPy; None for a model that it does not know."""
    if provider is None:
        return None
    cost, _ = estimate_cost(response, provider=provider, requested_model=request.model, request=request)
    return None if cost is None else float(cost)
