"""The queue of waiting jobs on Redis."""

from dspy_service.adapters.job_record import FIRST_RING_SECONDS, LONGEST_RING_SECONDS
from dspy_service.adapters.redis.key_names import OUTBOX, QUEUED, WAITING, job_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import to_micros
from dspy_service.domain.queue import Place, QueueFigures


class RedisJobQueue(RedisPart):
    """See the port ``JobQueue``."""

    async def next_job(self, *, tenant_running_jobs: int = 0) -> str | None:
        """Return the job that a free slot should claim now."""
        job_id: str | None = await self._client.run("next_job", keys=[WAITING], args=[tenant_running_jobs])
        return job_id

    async def place(self, job_id: str) -> Place | None:
        """Return where a waiting job stands."""
        found = await self._client.run("place", keys=[job_key(job_id)], args=[job_id])
        return None if found is None else Place(position=found[0], tenant_running=found[1])

    async def figures(self) -> QueueFigures:
        """Return what operators watch."""
        waiting, running, micros = await self._client.run("figures", keys=[QUEUED])
        return QueueFigures(waiting=waiting, running=running, oldest_waiting_seconds=int(micros) / 1_000_000)

    async def due(self, *, limit: int) -> list[str]:
        """Return the ids to ring now, longest due first, and put each one's next ring off."""
        pauses = (to_micros(FIRST_RING_SECONDS), to_micros(LONGEST_RING_SECONDS))
        ids: list[str] = await self._client.run("due", keys=[OUTBOX], args=(limit, *pauses))
        return ids

    async def wait_for_submit(self, timeout_seconds: float) -> bool:
        """Wait until a job began to wait, or a slot became free for one, or the time is up."""
        return await self._submits.wait(timeout_seconds)
