"""The tails of the journals on Redis: one list for each job; its record knows the number of the first entry."""

from collections.abc import Sequence

from dspy_service.adapters.redis.key_names import job_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.domain.errors import LeaseLostError

_PAGE = 256  # answers in one reply: about a megabyte


class RedisJournalTail(RedisPart):
    """See the port ``JournalTail``."""

    async def add_answers(self, job_id: str, *, fence: int, answers: Sequence[str]) -> int:
        """Append, and return the number after the last."""
        args = (self._proof(job_id, fence), *answers)
        end: int | None = await self._client.run("add_answers", keys=[job_key(job_id)], args=args)
        if end is None:
            raise LeaseLostError(job_id, fence)
        return end

    async def answers(self, job_id: str) -> tuple[int, list[str]]:
        """Return the number after the last answer, and all answers that are there, oldest first."""
        found: list[str] = []
        wanted, end = 0, 1
        while wanted < end:
            first, end, page = await self._client.run("answers", keys=[job_key(job_id)], args=(wanted, _PAGE))
            found += page
            wanted = first + _PAGE
        return end, found

    async def drop_answers(self, job_id: str, *, fence: int, before: int) -> None:
        """Remove the answers with numbers below ``before``."""
        args = (self._proof(job_id, fence), before)
        if await self._client.run("drop_answers", keys=[job_key(job_id)], args=args) is None:
            raise LeaseLostError(job_id, fence)
