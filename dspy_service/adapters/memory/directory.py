"""The live workers in memory."""

from datetime import timedelta

from dspy_service.adapters.memory.state import MemoryPart
from dspy_service.domain.workers import WorkerInfo


class MemoryWorkerDirectory(MemoryPart):
    """See the port ``WorkerDirectory``."""

    async def announce_worker(self, worker: WorkerInfo, *, ttl_seconds: float) -> None:
        """Say that a worker lives."""
        self._workers[worker.worker_id] = (worker, self.clock() + timedelta(seconds=ttl_seconds))

    async def retire_worker(self, worker_id: str) -> None:
        """Forget a worker that stops."""
        self._workers.pop(worker_id, None)

    async def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that have not expired."""
        now = self.clock()
        return [worker for _, (worker, expires_at) in sorted(self._workers.items()) if expires_at > now]
