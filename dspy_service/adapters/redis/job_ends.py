"""The job records on Redis: wishes, lost leases, and what becomes of an ended job."""

import logging
from collections.abc import Sequence
from typing import Final

from dspy_service.adapters.job_record import FAILED_JOURNAL_SECONDS, LEAVING_SECONDS, retry_refused, wish_refused
from dspy_service.adapters.redis.key_names import LEASES, ORPHANS, UNSETTLED, job_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import job_from_pairs, to_micros
from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import JobNotFinishedError, JobNotFoundError
from dspy_service.domain.job import Job, JobStatus, Wish
from dspy_service.domain.spec import JobSpec

_log: Final = logging.getLogger(__name__)


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

    async def reopen(self, job_id: str, *, spec: JobSpec, max_live_jobs: int = 0) -> Job:
        """Move a failed job back to ``pending``."""
        args = (job_id, spec.model_dump_json(), max_live_jobs)
        kind, *rest = await self._client.run("reopen", keys=[job_key(job_id)], args=args)
        if kind == "missing":
            raise JobNotFoundError(job_id)
        if kind == "full":
            raise QuotaExceededError(max_live_jobs)
        if kind == "forbidden":
            raise retry_refused(job_id, rest[0])
        return job_from_pairs(rest[0])

    async def reap(self, *, lease_seconds: float, max_losses: int, limit: int = 100) -> list[Job]:
        """End every lease that has expired, unless the store stands still before it gets this."""
        seconds, micros = await self._client.command("TIME")
        args = (to_micros(lease_seconds), max_losses, limit, seconds * 1_000_000 + micros)
        return _told(await self._client.run("reap", keys=[LEASES], args=args), "fell silent")

    async def lose(self, owners: Sequence[str], *, max_losses: int) -> list[Job]:
        """End the leases of owners that have died."""
        args: list[str | int] = [max_losses, *owners]
        return _told(await self._client.run("lose", keys=[LEASES], args=args), "died")

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

    async def due_orphans(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return datasets that no job has named for so long, and put each off."""
        args = (to_micros(older_than_seconds), limit, LEAVING_SECONDS)
        paths: list[str] = await self._client.run("due_orphans", keys=[ORPHANS], args=args)
        return paths

    async def forget_orphan(self, path: str) -> None:
        """Note that a dataset's file was deleted."""
        await self._client.run("forget_orphan", keys=[ORPHANS], args=[path])

    async def note_orphans(self, paths: Sequence[str], *, in_seconds: float) -> None:
        """Note datasets that no job names."""
        await self._client.run("note_orphans", keys=[ORPHANS], args=(to_micros(in_seconds), *paths))


def _told(lost: Sequence[tuple[str, Sequence[str]]], how: str) -> list[Job]:
    """Log whose jobs these were, which their records do not say any more, and return them."""
    jobs = [(owner, job_from_pairs(pairs)) for owner, pairs in lost]
    for owner, job in jobs:
        _log.warning("%s, which held job %s, %s.", owner, job.job_id, how)
    return [job for _, job in jobs]
