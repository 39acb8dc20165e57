"""The language models of a serving process: opened once, shared by all its runs."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import dspy

from dspy_service.domain.serving.run import RunOptions
from dspy_service.domain.spec import ModelSettings
from dspy_service.ports import CallThrottle
from workers.lm.native import alias
from workers.lm.provider_line import ProviderLine
from workers.lm.registry import ModelRegistry
from workers.lm.target import Target
from workers.serving.engine import StreamLimits, TellingEngine
from workers.serving.lm import build_lm
from workers.serving.lm_options import with_options

MAX_MODELS: Final = 256
"""Several times as many as runs go on at a time, so what was not used for longest is not in use."""
_MAX_LINES: Final = 1_024
_OURS: Final = "serving"
"""Stands where a job's id stands when turns at a provider are divided."""


@dataclass(frozen=True)
class ServedModel:
    """One model as versions name it."""

    engine: TellingEngine
    lm: dspy.LM
    capabilities: Mapping[str, Any]
    """What the model can do, as DSPy asks it."""

    def for_options(self, options: RunOptions) -> dspy.LM:
        """Return the model with a run's own options on top."""
        return with_options(self.lm, dict(options))


class ServedModels:
    """Belongs to the event loop on which it is used.

    Args:
        registry: Knows all models.
        limits: Of every call.
        throttle: Divides a provider's limits among all workers; None: nobody counts.
        max_models: That are kept open.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        limits: StreamLimits,
        *,
        throttle: CallThrottle | None = None,
        max_models: int = MAX_MODELS,
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._throttle = throttle
        self._max_models = max_models
        self._models: OrderedDict[str, ServedModel] = OrderedDict()
        self._engines: dict[str, TellingEngine] = {}
        self._lines: OrderedDict[tuple[str, str], ProviderLine] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, settings: ModelSettings) -> ServedModel:
        """Return a model; the first time it is opened.

        Raises:
            ModelCallError: the model is unknown, or its key is not set on this worker.
            LMConfigurationError: its options contradict each other.
        """
        key = settings.model_dump_json()
        found = self._models.get(key)
        if found is None:
            name = alias(settings)
            engine = self._engines.get(name) or TellingEngine(self._registry.target(settings), self._limits)
            capabilities = self._registry.capabilities(settings)
            found = ServedModel(engine, build_lm(settings, engine, capabilities), capabilities)
            self._engines[name] = engine
            self._models[key] = found
            self._close_unused()
        self._models.move_to_end(key)
        return found

    def line(self, tenant: str, target: Target) -> ProviderLine | None:
        """Return where a tenant's runs wait for their turn at a provider; None where nobody counts."""
        if self._throttle is None or not target.provider:
            return None
        key = (tenant, target.provider)
        if key not in self._lines:
            self._lines[key] = ProviderLine(
                target.provider, target.provider_limits, throttle=self._throttle, tenant=tenant, job_id=_OURS
            )
            if len(self._lines) > _MAX_LINES:
                self._lines.popitem(last=False)  # its tasks end by themselves when nobody waits there
        self._lines.move_to_end(key)
        return self._lines[key]

    async def aclose(self) -> None:
        """Close every connection; no run may go on."""
        open_ones: list[ProviderLine | TellingEngine] = [*self._lines.values(), *self._engines.values()]
        self._models.clear()
        self._engines.clear()
        self._lines.clear()
        await asyncio.gather(*(each.aclose() for each in open_ones), *self._closing)

    def _close_unused(self) -> None:
        while len(self._models) > self._max_models:
            _, oldest = self._models.popitem(last=False)
            if all(model.engine is not oldest.engine for model in self._models.values()):
                self._engines = {name: each for name, each in self._engines.items() if each is not oldest.engine}
                task = asyncio.get_running_loop().create_task(oldest.engine.aclose())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
