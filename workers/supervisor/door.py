"""What a supervisor needs of the language models' side; the worker's composition root gives it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dspy_service.domain.catalogue.entries import ModuleEntry, OptimizerEntry
from dspy_service.domain.frames import Frame
from dspy_service.domain.job import Claim
from dspy_service.domain.result import Usage
from dspy_service.domain.supervision import Phase
from dspy_service.domain.throttle import ProviderWait
from dspy_service.ports import JournalTail


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

    def begin(self, phase: Phase) -> None:
        """Note what the calls that follow are for; the final evaluation may spend what the budget reserves for it."""
        ...

    @property
    def spent(self) -> str | None:
        """Which bound of the budget refused a call, as a sentence; None while none did."""
        ...

    def provider_waits(self) -> Sequence[ProviderWait]:
        """Return which providers refuse the job's calls now, and since when."""
        ...

    def hold(self) -> None:
        """Begin no call to a provider until ``go_on``; questions wait."""
        ...

    def go_on(self) -> None:
        """Begin calls again."""
        ...

    async def drain(self, timeout_seconds: float) -> None:
        """Begin no call any more, and wait until those in flight are in the journal or the time is up."""
        ...

    def close_door(self) -> None:
        """Answer nothing more and cancel what is in flight."""
        ...

    async def aclose(self) -> None:
        """Close the door and every connection."""
        ...


class ModelDoors(Protocol):
    """Opens the door of an attempt."""

    async def open(self, claim: Claim, *, tail: JournalTail, keeps_reserve: bool) -> ModelDoor:
        """Return the models of a job with the journal of its earlier attempts; call it on the job's event loop.

        Args:
            claim: Whose fence every write to the journal names.
            tail: Where new answers are kept before the runner sees them.
            keeps_reserve: Whether the budget keeps something for the final evaluation: not for an optimizer that has no
                program before its own end.

        Raises:
            ModelCallError: a model is unknown or has no key, or none has a price and the budget names money.
            LeaseLostError: another worker owns the job now.
            StoreUnavailableError: the journal could not be read.
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
