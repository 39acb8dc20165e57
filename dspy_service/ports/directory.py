"""Which workers live."""

from typing import Protocol

from dspy_service.domain.workers import WorkerInfo


class WorkerDirectory(Protocol):
    """The workers that announced themselves."""

    async def announce_worker(self, worker: WorkerInfo, *, ttl_seconds: float) -> None:
        """Say that a worker lives; forgotten after ``ttl_seconds``."""
        ...

    async def retire_worker(self, worker_id: str) -> None:
        """Forget a worker that stops."""
        ...

    async def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that announced themselves and have not expired."""
        ...
