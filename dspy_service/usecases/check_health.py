"""Says whether a job that is submitted now will be taken."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from dspy_service.domain.errors import SandboxUnavailableError, StoreUnavailableError
from dspy_service.domain.workers import SandboxLevel, WorkerInfo
from dspy_service.ports import JobStore

_GOOD_SECONDS = 1.0  # workers announce themselves every three


@dataclass(frozen=True)
class Health:
    """The state of what the service stands on."""

    store_answers: bool
    live: tuple[WorkerInfo, ...]
    minimum: SandboxLevel

    @property
    def eligible(self) -> tuple[WorkerInfo, ...]:
        """The live workers that confine well enough; levels sort by their names."""
        return tuple(worker for worker in self.live if worker.sandbox_level >= self.minimum)

    @property
    def level(self) -> SandboxLevel | None:
        """The weakest level at which a job may run now: of the eligible workers, else of the live ones."""
        return min((worker.sandbox_level for worker in self.eligible or self.live), default=None)

    @property
    def problem(self) -> str | None:
        """Why no job would be taken, and what to do; None when all is well."""
        if not self.store_answers:
            return "The store does not answer; start Redis, or check DSPY_SERVICE_REDIS_URL."
        if not self.live:
            return "No worker is live; start one with `dspy-service worker`."
        weak = self.too_weak
        return str(weak) if weak else None

    @property
    def too_weak(self) -> SandboxUnavailableError | None:
        """Why live workers may not take a job; None when one may, or there is none."""
        if not self.live or self.eligible:
            return None
        best = max(worker.sandbox_level for worker in self.live)
        missing = dict.fromkeys(sentence for worker in self.live for sentence in worker.missing)
        return SandboxUnavailableError(self.minimum, best, tuple(missing))


async def check_health(*, jobs: JobStore, minimum: SandboxLevel) -> Health:
    """Ask the store for its time and for the live workers."""
    try:
        await jobs.now()
        live = await jobs.live_workers()
    except StoreUnavailableError:
        return Health(store_answers=False, live=(), minimum=minimum)
    return Health(store_answers=True, live=tuple(live), minimum=minimum)


async def require_sandbox(*, jobs: JobStore, minimum: SandboxLevel) -> None:
    """Check that the live workers, if there are any, include one that may run submitted code.

    Without a live worker a job waits for the first; with only weak ones it would wait for ever.

    Raises:
        SandboxUnavailableError: none may.
    """
    weak = Health(store_answers=True, live=tuple(await jobs.live_workers()), minimum=minimum).too_weak
    if weak is not None:
        raise weak


class SandboxWatch:
    """Remembers for a second that nothing stood in the way, so that not every submit asks for the workers."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._good_until = -math.inf

    async def require(self, *, jobs: JobStore, minimum: SandboxLevel) -> None:
        """Check as ``require_sandbox`` does, at most once a second as long as it passes."""
        now = self._monotonic()
        if now < self._good_until:
            return
        await require_sandbox(jobs=jobs, minimum=minimum)
        self._good_until = now + _GOOD_SECONDS
