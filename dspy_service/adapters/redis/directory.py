"""The live workers on Redis."""

from dspy_service.adapters.redis.key_names import WORKERS
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import (
    to_micros,
)
from dspy_service.domain.workers import WorkerInfo


class RedisWorkerDirectory(RedisPart):
    """See the port ``WorkerDirectory``."""

    async def announce_worker(self, worker: WorkerInfo, *, ttl_seconds: float) -> None:
        """Say that a worker lives."""
        args = (worker.worker_id, worker.model_dump_json(), to_micros(ttl_seconds))
        await self._client.run("announce_worker", keys=[WORKERS], args=args)

    async def retire_worker(self, worker_id: str) -> None:
        """Forget a worker that stops."""
        await self._client.command("HDEL", WORKERS, worker_id)

    async def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that have not expired."""
        live = await self._client.run("live_workers", keys=[WORKERS])
        return sorted((WorkerInfo.model_validate_json(info) for info in live), key=lambda worker: worker.worker_id)
