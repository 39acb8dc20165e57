"""What a supervisor needs of the language models' side; the worker's composition root gives it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dspy_service.domain.catalogue.entries import ModuleEntry, OptimizerEntry
from dspy_service.domain.frames import Frame
from dspy_service.domain.result import Usage
from dspy_service.domain.spec import JobSpec


class ModelDoor(Protocol):
    """The language models of one attempt, seen from its supervisor; ``workers.lm.broker.Broker`` is one."""

    pending_calls: int
    """Frames that wait for an answer."""
    pending_bytes: int
    """Size of the requests behind them."""

    def roles(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the ``roles`` of the ``spec`` frame."""
        ...

    def usage(self) -> Usage:
        """Return what was used so far."""
        ...

    def ask(self, frame: Frame, reply: Callable[[bytes], None]) -> None:
        """Answer one ``lm`` frame, now or later. Raises ProtocolError for a frame that cannot be answered."""
        ...

    def close_door(self) -> None:
        """Answer nothing more and cancel what is in flight."""
        ...

    async def aclose(self) -> None:
        """Close the door and every connection."""
        ...


class ModelDoors(Protocol):
    """Opens the door of an attempt."""

    def open(self, spec: JobSpec) -> ModelDoor:
        """Return the models of a job; call it on the job's event loop.

        Raises:
            ModelCallError: a model is unknown or has no key.
        """
        ...


class Catalogue(Protocol):
    """Finds what a spec names; ``dspy_service.domain.catalogue.registry.Registry`` is one."""

    def module(self, name: str) -> ModuleEntry:
        """Return the module that answers to ``name``, or raise UnsupportedRequestError."""
        ...

    def optimizer(self, name: str) -> OptimizerEntry:
        """Return the optimizer that answers to ``name``, or raise UnsupportedRequestError."""
        ...
