"""The doorbell on Celery: publishes a task by its name, and knows nothing of the workers' code."""

import asyncio
from typing import TYPE_CHECKING

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from dspy_service.adapters.celery_settings import QUEUE, RING_TASK, celery_settings
from dspy_service.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from dspy_service.ports import Doorbell

_SOCKET_SECONDS = 2  # whoever rings has nothing else to do meanwhile, but should notice a silent Redis soon


class CeleryDoorbell:
    """Rings over the Redis at ``redis_url``; the blocking publish runs in a thread."""

    def __init__(self, redis_url: str) -> None:
        self._celery = Celery("dspy-service-doorbell", set_as_current=False)
        settings = celery_settings(redis_url)
        settings["broker_transport_options"] |= {
            "socket_timeout": _SOCKET_SECONDS,
            "socket_connect_timeout": _SOCKET_SECONDS,
            "max_retries": 1,  # the dispatcher tries again by itself; each of kombu's tries takes up to two seconds
            "interval_start": 0,
        }
        self._celery.conf.update(settings)

    async def ring(self, job_id: str) -> None:
        """Publish the job's id. Raises StoreUnavailableError."""
        await asyncio.to_thread(self._publish, job_id)

    async def waiting(self) -> int:
        """Return how many rings no worker has taken yet. Raises StoreUnavailableError."""
        return await asyncio.to_thread(self._count)

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._celery.close)

    def _publish(self, job_id: str) -> None:
        try:
            self._celery.send_task(RING_TASK, args=[job_id], queue=QUEUE, retry=False, ignore_result=True)
        except OperationalError as error:
            raise StoreUnavailableError("message broker") from error

    def _count(self) -> int:
        try:
            with self._celery.producer_or_acquire() as producer:
                # Not passive: kombu looks for the queue without its own key prefix, and would never find it.
                return int(producer.channel.queue_declare(QUEUE).message_count)
        except (OperationalError, RedisError) as error:
            raise StoreUnavailableError("message broker") from error


if TYPE_CHECKING:
    _proof: Doorbell = CeleryDoorbell("redis://")
