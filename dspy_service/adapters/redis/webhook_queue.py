"""The webhook deliveries on Redis: a sorted set of ended jobs; what was tried stands in their records."""

from dspy_service.adapters.delivery_id import delivery_id_of, parts_of
from dspy_service.adapters.redis.key_names import DELIVERIES, job_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import to_micros
from dspy_service.domain.webhook import Delivery


class RedisWebhookQueue(RedisPart):
    """See the port ``WebhookQueue``."""

    async def due_deliveries(self, *, lease_seconds: float, limit: int = 20) -> list[Delivery]:
        """Return deliveries to try now, longest due first, and lease them."""
        args = (to_micros(lease_seconds), limit)
        found = await self._client.run("due_deliveries", keys=[DELIVERIES], args=args)
        return [
            Delivery(
                delivery_id=delivery_id_of(job_id, int(seq)),
                job_id=job_id,
                tries=int(tries),
                first_tried_seconds_ago=int(micros) / 1_000_000,
            )
            for job_id, seq, tries, micros in found
        ]

    async def delivered(self, delivery_id: str, *, problem: str | None = None) -> None:
        """Forget a delivery."""
        job_id, seq = parts_of(delivery_id)
        await self._client.run("delivered", keys=[job_key(job_id)], args=(job_id, seq, problem or ""))

    async def put_off(self, delivery_id: str, *, seconds: float, problem: str | None = None) -> None:
        """Try a delivery again in ``seconds``."""
        job_id, seq = parts_of(delivery_id)
        args = (job_id, seq, to_micros(seconds), problem or "")
        await self._client.run("put_off", keys=[job_key(job_id)], args=args)
