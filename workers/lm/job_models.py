"""The language models of one job, by role."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dspy_service.domain.spec import JobSpec
from workers.lm.engine import CallLimits, MeteredEngine
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


def open_models(spec: JobSpec, registry: ModelRegistry, limits: CallLimits) -> dict[str, JobModel]:
    """Return the model of every role; call it on the job's event loop.

    Raises:
        ModelCallError: a model is unknown or has no key; better now than after an hour of the other roles.
    """
    models: dict[str, JobModel] = {}
    engines: dict[str, MeteredEngine] = {}
    for role, settings in spec.models().items():
        target = registry.target(settings)
        models[role] = JobModel(
            alias=target.alias,
            wire_model=target.wire_model,
            max_tokens=max(limits.max_tokens, settings.max_tokens or 0),
            engine=engines.setdefault(target.alias, MeteredEngine(target, limits)),
            shown={
                "model": settings.name,
                **settings.model_dump(exclude={"name", "base_url"}),
                "capabilities": registry.capabilities(settings),
            },
        )
    return models
