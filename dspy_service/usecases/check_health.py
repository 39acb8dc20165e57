"""Says whether a job that is submitted now will be taken."""

from dataclasses import dataclass

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.workers import SandboxLevel, WorkerInfo
from dspy_service.ports import JobStore


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
        if not self.eligible:
            return (
                f"No live worker reaches sandbox level {self.minimum}, only {self.level}; run a worker where it is "
                "available, or lower DSPY_SERVICE_SANDBOX_MIN_LEVEL."
            )
        return None


async def check_health(*, jobs: JobStore, minimum: SandboxLevel) -> Health:
    """Ask the store for its time and for the live workers."""
    try:
        await jobs.now()
        live = await jobs.live_workers()
    except StoreUnavailableError:
        return Health(store_answers=False, live=(), minimum=minimum)
    return Health(store_answers=True, live=tuple(live), minimum=minimum)
