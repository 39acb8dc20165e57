"""The lists of jobs on Redis: sorted sets of UUIDv7, whose order as text is that of time."""

import pydantic_core

from dspy_service.adapters.job_record import to_json
from dspy_service.adapters.redis.key_names import SETTLED, index_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import job_from_pairs, to_micros
from dspy_service.domain.job import Job
from dspy_service.domain.job_filter import JobFilter, JobPage

MOST_LOOKS = 500  # entries in one call: about a millisecond of Redis when none of them passes


class RedisJobIndex(RedisPart):
    """See the port ``JobIndex``."""

    async def page(self, tenant: str, *, wanted: JobFilter, after: str | None = None, limit: int = 20) -> JobPage:
        """Return jobs that are older than ``after``, newest first."""
        start = "+" if after is None else f"({after}"
        pairs = [to_json({name: value})[1:-1] for name, value in wanted.metadata.items()]
        args: list[str | int] = [start, limit, MOST_LOOKS, *pairs]
        records, has_more, *last = await self._client.run("page", keys=_indexes(tenant, wanted), args=args)
        jobs = [job_from_pairs(record) for record in pydantic_core.from_json(records)]
        # Once more, because a pair of the metadata may have been found in another place of the record.
        shown = tuple(job for job in jobs if wanted.passes(job))
        return JobPage(jobs=shown, has_more=bool(has_more), last_id=last[0] if last else None)

    async def ended_before(self, *, seconds_ago: float, limit: int = 100) -> list[Job]:
        """Return settled jobs of any tenant whose end is longer ago, oldest first."""
        records = await self._client.run("ended_before", keys=[SETTLED], args=(to_micros(seconds_ago), limit))
        return [job_from_pairs(record) for record in records]


def _indexes(tenant: str, wanted: JobFilter) -> list[str]:
    """Return the keys of the indexes that a job must stand in; the one of all jobs only when no other is left."""
    whole = index_key(tenant)
    by_status = [] if wanted.status is None else [f"{whole}:status:{wanted.status}"]
    by_optimizer = [] if wanted.optimizer is None else [f"{whole}:optimizer:{wanted.optimizer}"]
    return [*by_status, *by_optimizer] or [whole]
