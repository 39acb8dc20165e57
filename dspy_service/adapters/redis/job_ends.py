"""The job records on Redis: wishes, lost leases, and what becomes of an ended job."""

from dspy_service.adapters.job_record import FAILED_JOURNAL_SECONDS, LEAVING_SECONDS, retry_refused, wish_refused
from dspy_service.adapters.redis.key_names import LEASES, ORPHANS, UNSETTLED, job_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import job_from_pairs, to_micros
from dspy_service.domain.errors import JobNotFinishedError, JobNotFoundError
from dspy_service.domain.job import Job, JobStatus, Wish
from dspy_service.domain.spec import JobSpec


class RedisJobEnds(RedisPart):
    """See the port ``JobRecords``."""

    async def wish(self, job_id: str, wish: Wish) -> Job:
        """Ask for a cancel, a pause or a resume."""
        kind, *rest = await self._client.run("wish", keys=[job_key(job_id)], args=(job_id, wish.value))
        if kind == "missing":
            raise JobNotFoundError(job_id)
        if kind == "forbidden":
            raise wish_refused(job_id, rest[0], wish=wish, pending=Wish(rest[1]))
        return job_from_pairs(rest[0])

    async def reopen(self, job_id: str, *, spec: JobSpec) -> Job:
        """Move a failed job back to ``pending``."""
        kind, *rest = await self._client.run("reopen", keys=[job_key(job_id)], args=(job_id, spec.model_dump_json()))
        if kind == "missing":
            raise JobNotFoundError(job_id)
        if kind == "forbidden":
            raise retry_refused(job_id, rest[0])
        return job_from_pairs(rest[0])

    async def reap(self, *, lease_seconds: float, max_losses: int, limit: int = 100) -> list[Job]:
        """End every lease that has expired, unless the store stands still before it gets this."""
        seconds, micros = await self._client.command("TIME")
        args = (to_micros(lease_seconds), max_losses, limit, seconds * 1_000_000 + micros)
        return [job_from_pairs(pairs) for pairs in await self._client.run("reap", keys=[LEASES], args=args)]

    async def unsettled(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return ended jobs that wait to be settled, oldest end first."""
        args = (to_micros(older_than_seconds), limit)
        ids: list[str] = await self._client.run("unsettled", keys=[UNSETTLED], args=args)
        return ids

    async def settle(self, job_id: str, *, fence: int, archived_seq: int) -> None:
        """Note that an ended job stands in the artifact store."""
        args = (job_id, fence, archived_seq, FAILED_JOURNAL_SECONDS)
        await self._client.run("settle", keys=[job_key(job_id)], args=args)

    async def delete(self, job_id: str) -> bool:
        """Remove every trace of an ended job."""
        status = await self._client.run("delete", keys=[job_key(job_id)], args=[job_id])
        if status is not None and not JobStatus(status).is_terminal:
            raise JobNotFinishedError(job_id, status)
        return status is not None

    async def take_orphans(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return datasets that no job has named for so long, and forget them."""
        args = (to_micros(older_than_seconds), limit, LEAVING_SECONDS)
        paths: list[str] = await self._client.run("take_orphans", keys=[ORPHANS], args=args)
        return paths
