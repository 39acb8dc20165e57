"""Opens one broker per attempt; what the worker's composition root hands to its supervisor."""

from dspy_service.domain.spec import JobSpec
from workers.lm.broker import Broker
from workers.lm.engine import CallLimits
from workers.lm.job_models import open_models
from workers.lm.journal import MemoryJournal
from workers.lm.registry import ModelRegistry


class BrokerDoors:
    """Makes brokers.

    Args:
        registry: Every model that this worker can reach.
        limits: Of every call.
    """

    def __init__(self, registry: ModelRegistry, limits: CallLimits | None = None) -> None:
        self._registry = registry
        self._limits = limits or CallLimits()

    def open(self, spec: JobSpec) -> Broker:
        """Return the broker of a job; call it on the job's event loop.

        Raises:
            ModelCallError: a model is unknown or has no key.
        """
        return Broker(open_models(spec, self._registry, self._limits), MemoryJournal())
