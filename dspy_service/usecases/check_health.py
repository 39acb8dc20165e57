"""Says whether a job that is submitted now will be taken."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from dspy_service.domain.errors import SandboxUnavailableError, StoreUnavailableError
from dspy_service.domain.queue import QueueFigures, QueueRules
from dspy_service.domain.workers import SandboxLevel, WorkerInfo
from dspy_service.ports import JobStore

_GOOD_SECONDS = 1.0  # workers announce themselves every three
_IDLE_SECONDS = 20.0  # a job that waits is rung for every ten

EMPTY_QUEUE = QueueFigures(waiting=0, running=0, oldest_waiting_seconds=0)


@dataclass(frozen=True)
class Health:
    """The state of what the service stands on."""

    store_answers: bool
    live: tuple[WorkerInfo, ...]
    """Those that are there for jobs."""
    minimum: SandboxLevel
    queue: QueueFigures = EMPTY_QUEUE
    tenants_are_limited: bool = False
    """Whether jobs may have to wait although a slot is free."""
    serving: tuple[WorkerInfo, ...] = ()
    """Those that are there for runs of deployed programs."""

    @property
    def eligible(self) -> tuple[WorkerInfo, ...]:
        """The live workers that confine well enough; levels sort by their names."""
        return tuple(worker for worker in self.live if worker.sandbox_level >= self.minimum)

    @property
    def level(self) -> SandboxLevel | None:
        """The weakest level at which a job may run now: of the eligible workers, else of the live ones."""
        return min((worker.sandbox_level for worker in self.eligible or self.live), default=None)

    @property
    def capacity(self) -> int:
        """Jobs that the eligible workers run at the same time."""
        return sum(worker.concurrency for worker in self.eligible)

    @property
    def problem(self) -> str | None:
        """Why no job would be taken, and what to do; None when all is well."""
        if not self.store_answers:
            return "The store does not answer; start Redis, or check DSPY_SERVICE_REDIS_URL."
        if not self.live:
            return f"No worker is live; start one with `dspy-service worker`.{self._how_many_wait}"
        weak = self.too_weak
        return f"{weak}{self._how_many_wait}" if weak else None

    @property
    def nobody_takes(self) -> str | None:
        """Why no worker takes the jobs that wait, and what to do; None when one does, or none waits."""
        if not self.queue.waiting:
            return None
        is_idle = self.queue.running < self.capacity and self.queue.oldest_waiting_seconds > _IDLE_SECONDS
        if self.problem is None and is_idle and not self.tenants_are_limited:
            return (
                "Workers with free slots are live and take no job; look into their logs, and start them again."
                f"{self._how_many_wait}"
            )
        return self.problem

    @property
    def _how_many_wait(self) -> str:
        count, seconds = self.queue.waiting, self.queue.oldest_waiting_seconds
        return f" Jobs that wait: {count}, the oldest for {seconds:.0f} s." if count else ""

    @property
    def too_weak(self) -> SandboxUnavailableError | None:
        """Why live workers may not take a job; None when one may, or there is none."""
        if not self.live or self.eligible:
            return None
        best = max(worker.sandbox_level for worker in self.live)
        missing = dict.fromkeys(sentence for worker in self.live for sentence in worker.missing)
        return SandboxUnavailableError(self.minimum, best, tuple(missing))


async def check_health(*, jobs: JobStore, rules: QueueRules) -> Health:
    """Ask the store for its time, for the live workers and for the queue."""
    try:
        await jobs.now()
        live = await jobs.live_workers()
        queue = await jobs.figures()
    except StoreUnavailableError:
        return Health(store_answers=False, live=(), minimum=rules.min_level)
    return Health(
        store_answers=True,
        live=tuple(worker for worker in live if not worker.only_serves),
        minimum=rules.min_level,
        queue=queue,
        tenants_are_limited=rules.tenant_running_jobs > 0,
        serving=tuple(worker for worker in live if worker.serves),
    )


async def require_sandbox(*, jobs: JobStore, minimum: SandboxLevel) -> None:
    """Check that the live workers, if there are any, include one that may run submitted code.

    Without a live worker a job waits for the first; with only weak ones it would wait for ever.

    Raises:
        SandboxUnavailableError: none may.
    """
    live = tuple(worker for worker in await jobs.live_workers() if not worker.only_serves)
    weak = Health(store_answers=True, live=live, minimum=minimum).too_weak
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
