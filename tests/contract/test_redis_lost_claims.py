"""A claim whose answer was lost is its worker's all the same: else the job would wait out a lease and count a loss."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import pytest

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import JobStatus
from tests.contract.job_backends import submitted

LEASE_SECONDS = 2.0


class SilentClient(RedisClient):
    """Does what it is asked, and loses so many answers to claims."""

    lost = 1

    async def run(self, verb: str, *, keys: Sequence[str], args: Iterable[str | int] = ()) -> Any:  # noqa: ANN401  # as many shapes as scripts
        answer = await super().run(verb, keys=keys, args=args)
        if verb == "claim" and self.lost:
            self.lost -= 1
            raise StoreUnavailableError("job store")
        return answer


class Silent(RedisJobStore):
    def __init__(self, url: str) -> None:
        self.client = SilentClient(url)
        RedisPart.__init__(self, self.client)


@pytest.fixture
async def silent(redis_url: str) -> AsyncIterator[Silent]:
    store = Silent(redis_url)
    yield store
    await store.aclose()


async def test_it_is_asked_for_again_and_is_one_claim(silent: Silent) -> None:
    job_id = (await submitted(silent)).job_id

    claim = await silent.claim(job_id, owner="w1", lease_seconds=LEASE_SECONDS, sandbox_level="L1")

    assert claim is not None
    assert (claim.job.attempt, claim.fence) == (1, 1)
    await silent.advance(job_id, fence=claim.fence)
    assert (await silent.get(job_id)).status is JobStatus.RUNNING


async def test_it_is_not_asked_for_longer_than_its_lease_could_last(silent: Silent) -> None:
    silent.client.lost = 1_000
    job_id = (await submitted(silent)).job_id
    begun_at = await silent.now()

    with pytest.raises(StoreUnavailableError):
        await silent.claim(job_id, owner="w1", lease_seconds=LEASE_SECONDS, sandbox_level="L1")

    assert (await silent.now() - begun_at).total_seconds() < LEASE_SECONDS
    assert (await silent.get(job_id)).attempt == 1
