"""The job store on Redis: one atomic script per verb, all times from Redis' own clock."""

from typing import TYPE_CHECKING

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.directory import RedisWorkerDirectory
from dspy_service.adapters.redis.event_log import RedisEventLog
from dspy_service.adapters.redis.index import RedisJobIndex
from dspy_service.adapters.redis.job_ends import RedisJobEnds
from dspy_service.adapters.redis.job_records import RedisJobRecords
from dspy_service.adapters.redis.journal_tail import RedisJournalTail
from dspy_service.adapters.redis.queue import RedisJobQueue
from dspy_service.adapters.redis.webhook_queue import RedisWebhookQueue

if TYPE_CHECKING:
    from dspy_service.ports import JobStore


class RedisJobStore(
    RedisJobRecords,
    RedisJobEnds,
    RedisEventLog,
    RedisJobQueue,
    RedisJobIndex,
    RedisJournalTail,
    RedisWebhookQueue,
    RedisWorkerDirectory,
):
    """Jobs in the Redis (or Valkey) at ``url``: ``redis://``, ``rediss://`` or ``unix://``."""

    def __init__(self, url: str) -> None:
        super().__init__(RedisClient(url))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._submits.aclose()
        await self._client.aclose()


if TYPE_CHECKING:
    _proof: JobStore = RedisJobStore("redis://")
