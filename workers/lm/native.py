"""Providers over DSPy's own HTTP engine, one transport per model and event loop."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from typing import Final, Literal

from dspy._vendor.lm15.router import LITELLM_PROVIDER_PREFIXES  # not re-exported by dspy.lm15
from dspy._vendor.lm15.transports import StdlibAsyncTransport  # not re-exported by dspy.lm15
from dspy._vendor.lm15.types import StreamEvent  # not re-exported by dspy.lm15
from dspy.clients.engines.lm15_engine import AsyncLM15Engine
from dspy.lm15 import AuthError, LM15Error, NotConfiguredError, Request, Response, RouterConfig

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.origins import origin_of
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.throttle import ProviderLimits
from workers.lm.capped_transport import CappedTransport
from workers.lm.environment import ProviderEnvironment
from workers.lm.long_lines import allow_long_lines
from workers.lm.models_file import ModelsFile
from workers.lm.prices import pricing
from workers.lm.provider_errors import missing_key, translate
from workers.lm.target import Target

PLACEHOLDER_KEY: Final = "placeholder"
"""What a client's own endpoint gets instead of an operator's key; many servers insist on some key."""

PREFIXES: Final = tuple(sorted(LITELLM_PROVIDER_PREFIXES))
_EXPLICIT_KEYS: Final = {"xai": "XAI_API_KEY"}
"""Providers whose adapter would otherwise look for a person's login in files."""
_MAX_CONNECTIONS: Final = 256
_ACCOUNT_PURPOSE: Final = b"dspy-service provider account\0"


class NativeEngine:
    """One provider, found once: DSPy's engine would look it up on a thread for every call."""

    def __init__(self, provider: object, transport: StdlibAsyncTransport) -> None:
        self._complete = provider.complete  # type: ignore[attr-defined]  # lm15's adapters are untyped
        self._stream = provider.stream  # type: ignore[attr-defined]  # the same
        self.can_stream = bool(provider.supports.stream)  # type: ignore[attr-defined]  # the same
        self._transport = transport

    async def complete(self, request: Request, *, sample: str) -> Response:  # noqa: ARG002  # real models sample
        """See AsyncEngine."""
        response: Response = await self._complete(request)
        return response

    def stream(self, request: Request, *, sample: str) -> AsyncIterator[StreamEvent]:  # noqa: ARG002  # as above
        """See StreamingEngine."""
        events: AsyncIterator[StreamEvent] = self._stream(request)
        return events

    async def aclose(self) -> None:
        """See AsyncEngine."""
        await self._transport.aclose()


def native_target(
    settings: ModelSettings,
    environment: ProviderEnvironment,
    *,
    max_answer_bytes: int,
    models: ModelsFile,
    name_key: bytes,
) -> Target:
    """Return what calls a provider's model, or a model behind a client's own ``base_url``.

    Args:
        settings: Which model, and where.
        environment: The keys.
        max_answer_bytes: Where the reading of an answer stops.
        models: The operator's prices and limits.
        name_key: Hashes a provider's key into the name of the account.

    Raises:
        ModelCallError: there is no such provider, or the operator has set no key for it.
    """
    model = native_model(settings)
    allow_long_lines(max_answer_bytes)
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
    priced = pricing(settings, provider=resolution.provider, models=models)
    place = origin_of(settings.base_url) if settings.base_url else settings.name.partition("/")[0]
    key = (
        None
        if settings.base_url
        else (keys or {}).get(resolution.provider) or variables.get(engine.resolve(model).env_key or "")
    )
    native = NativeEngine(provider, transport)
    return Target(
        alias=alias(settings),
        wire_model=resolution.model,
        engine=native,
        price=priced.price,
        is_priced=priced.is_known,
        prices_as_of=priced.as_of,
        provider=_account(place, key, name_key),
        place=place,
        is_shared=not settings.base_url or place in models.limits,  # an endpoint that the operator names is his own
        provider_limits=models.limits.get(place, ProviderLimits()),
        secrets=environment.secrets,
        streams=native if native.can_stream else None,
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


def _account(place: str, key: str | None, name_key: bytes) -> str:
    """Return a name for whom a provider counts; two workers with one key have one name, and it tells nothing of it."""
    if key is None or key == PLACEHOLDER_KEY:
        return place
    return f"{place}:{hmac.digest(name_key, _ACCOUNT_PURPOSE + key.encode(), hashlib.sha256).hex()[:12]}"
