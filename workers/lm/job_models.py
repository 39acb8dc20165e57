"""The language models of one job, by role."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.spec import JobSpec, ModelSettings
from workers.lm.engine import CallLimits, MeteredEngine
from workers.lm.gate import Gate
from workers.lm.native import alias
from workers.lm.provider_lines import ProviderLines
from workers.lm.registry import ModelRegistry


@dataclass(frozen=True)
class JobModel:
    """What the broker knows about the model of a role."""

    alias: str
    wire_model: str
    max_tokens: int
    """Largest that a request may ask for."""
    engine: MeteredEngine = field(repr=False)
    """Roles with the same model share one."""
    shown: Mapping[str, Any] = field(repr=False)
    """What the runner may know: name, options, capabilities; no address and no key."""


async def open_models(
    spec: JobSpec,
    registry: ModelRegistry,
    limits: CallLimits,
    *,
    gate: Gate | None = None,
    lines: ProviderLines | None = None,
) -> dict[str, JobModel]:
    """Return the model of every role; call it on the job's event loop.

    Args:
        spec: Names them.
        registry: Knows them.
        limits: Of every call.
        gate: Says when calls may begin; None: always.
        lines: Where calls wait for their turn at a provider; None: nobody counts them.

    Raises:
        ModelCallError: a model is unknown or has no key, or has no price and the budget names money; better now than
            after an hour of the other roles.
    """
    engines: dict[str, MeteredEngine] = {}
    models: dict[str, JobModel] = {}
    try:
        for role, settings in spec.models().items():
            name = alias(settings)
            if name not in engines:
                target = registry.target(settings)
                line = lines.of(target) if lines is not None else None
                engines[name] = MeteredEngine(target, limits, gate=gate, line=line)
            models[role] = _job_model(settings, registry, limits, engines[name])
            _check_price(spec, role, models[role])
    except ModelCallError:
        await asyncio.gather(*(engine.aclose() for engine in engines.values()))
        raise
    return models


def _job_model(settings: ModelSettings, registry: ModelRegistry, limits: CallLimits, engine: MeteredEngine) -> JobModel:
    return JobModel(
        alias=engine.target.alias,
        wire_model=engine.target.wire_model,
        max_tokens=max(limits.max_tokens, settings.max_tokens or 0),
        engine=engine,
        shown={
            "model": settings.name,
            **settings.model_dump(exclude={"name", "base_url"}),
            "capabilities": registry.capabilities(settings),
        },
    )


def _check_price(spec: JobSpec, role: str, model: JobModel) -> None:
    """Refuse a bound on money that could not be kept.

    Raises:
        ModelCallError: the budget names money, and the model has no price.
    """
    budget = spec.budget
    is_bound = budget is not None and (budget.max_usd is not None or budget.of_role(role).max_usd is not None)
    if not is_bound or model.engine.target.is_priced:
        return
    name = str(model.shown["model"])
    message = (
        f"The price of {name!r} is not known, so max_usd cannot be kept; drop max_usd from the budget, or let the "
        "operator set the model's price in MODELS_FILE."
    )
    raise ModelCallError(ModelErrorKind.CONFIGURATION, message, model=name)
