"""How an attempt is steered, and what it came to, as its supervisor tells it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from dspy_service.domain.job import Failure, JobStatus, TerminationReason
from dspy_service.domain.result import RunnerResult, Usage

Phase = Literal["baseline", "compile", "final"]
"""What a runner works on; the calls of the last are reserved in every budget."""


class Halt(StrEnum):
    """Why an attempt must stop before its end; each is more urgent than the one before."""

    PAUSE = "pause"
    """Calls in flight may end first, so that nothing is paid for twice."""
    HAND_BACK = "hand_back"
    """The same, within a few seconds: this worker goes away, and another continues."""
    CANCEL = "cancel"
    """At once: the user wants no further model call."""

    def is_beyond(self, other: "Halt | None") -> bool:
        """Whether this reason changes how an attempt that stops for ``other`` must stop."""
        order = list(Halt)
        return other is None or order.index(self) > order.index(other)


class Reins:
    """How whoever keeps the lease steers the supervisor of the attempt. Belongs to one event loop."""

    def __init__(self) -> None:
        self._why: Halt | None = None
        self._halting = asyncio.Event()
        self._free = asyncio.Event()
        self._held = asyncio.Event()
        self._free.set()
        self._count: Callable[[], float] = lambda: 0.0

    def count_with(self, running_seconds: Callable[[], float]) -> None:
        """Say how to learn for how long the attempt has been ``running``; it must never fall."""
        self._count = running_seconds

    @property
    def running_seconds(self) -> float:
        """For which the attempt has been ``running``: its own clock, which stands still while it is held."""
        return self._count()

    def halt(self, why: Halt) -> None:
        """Ask for a stop, for good; the most urgent reason stands."""
        if why.is_beyond(self._why):
            self._why = why
            self._halting.set()

    async def halted(self, *, beyond: Halt | None = None) -> Halt:
        """Wait until a stop is asked for, or one that is more urgent than the one that is known."""
        while self._why is None or not self._why.is_beyond(beyond):
            self._halting.clear()
            await self._halting.wait()
        return self._why

    @property
    def why(self) -> Halt | None:
        """The reason, once a stop was asked for."""
        return self._why

    def hold(self) -> None:
        """Let nothing move: the lease may soon be another worker's. No model is called, the runner stands still."""
        self._free.clear()
        self._held.set()

    def go_on(self) -> None:
        """The lease still holds; move again."""
        self._held.clear()
        self._free.set()

    @property
    def is_held(self) -> bool:
        """Whether nothing may move now."""
        return self._held.is_set()

    async def held(self) -> None:
        """Wait until nothing may move."""
        await self._held.wait()

    async def free(self) -> None:
        """Wait until things may move."""
        await self._free.wait()


@dataclass(frozen=True)
class Checkpoint:
    """The best program so far of an attempt that goes on."""

    number: int
    """Of this attempt, from 1."""
    score: float
    """On the whole valset."""
    files: Mapping[str, bytes] = field(repr=False)
    """A complete artifact: state, pickle, metadata."""
    result: RunnerResult
    """What is measured so far."""
    usage: Usage = field(default_factory=Usage)


KeepBest = Callable[[Checkpoint], Awaitable[None]]
"""Stores a checkpoint so that it outlives the attempt; awaited in order, the newest may replace one that waits."""


BUG = Failure(kind="internal_error", message="The service failed while it ran this job; its operator has the log.")
"""Of ours: what a job says that it ended."""


class NoRunnerError(Exception):
    """This worker could not start a process for a job. No line of the job was read; another worker may be able to."""


@dataclass(frozen=True)
class Interrupted:
    """An attempt that was halted before its end; another one continues it from the journal."""

    why: Literal[Halt.PAUSE, Halt.HAND_BACK]


@dataclass(frozen=True)
class RunReport:
    """How an attempt ended, with everything that it leaves behind."""

    status: Literal[JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED]
    termination_reason: TerminationReason
    usage: Usage = field(default_factory=Usage)
    result: RunnerResult | None = None
    """What was measured; partial unless ``status`` is success."""
    failure: Failure | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Of the artifact, by name; only what the runner made."""
    checkpoint_score: float | None = None
    """Of the checkpoint whose files these are, on the whole valset; None: the runner ended by itself, or no files."""

    @classmethod
    def failed(
        cls,
        kind: str,
        message: str,
        *,
        reason: TerminationReason = "error",
        usage: Usage | None = None,
        partial: RunnerResult | None = None,
    ) -> "RunReport":
        """Return the report of an attempt that gave no program."""
        return cls(
            status=JobStatus.FAILED,
            termination_reason=reason,
            usage=usage or Usage(),
            result=partial,
            failure=Failure(kind=kind, message=message),
        )
