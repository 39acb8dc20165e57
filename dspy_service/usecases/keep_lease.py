"""Keeps a claim alive while its job runs, and hears what is wished of it."""

import asyncio
from typing import NoReturn

from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.job import Claim, Wish
from dspy_service.ports import JobStore

_SAFE_SHARE = 2 / 3
"""Of a lease; after so long without an answer we stop, so that our runner is dead before another worker's starts."""


async def keep_lease(
    claim: Claim, *, jobs: JobStore, lease_seconds: float, heartbeat_seconds: float, cancel: asyncio.Event
) -> NoReturn:
    """Renew until cancelled; set ``cancel`` once the record wishes it.

    Raises:
        LeaseLostError: another worker holds the job, or may soon: the store has not answered for most of a lease.
    """
    job_id = claim.job.job_id
    loop = asyncio.get_running_loop()
    safe_until = loop.time() + lease_seconds * _SAFE_SHARE
    while True:
        await asyncio.sleep(heartbeat_seconds)
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(safe_until):
                wish = await jobs.renew(job_id, fence=claim.fence, lease_seconds=lease_seconds)
        except (StoreUnavailableError, TimeoutError) as error:
            if loop.time() >= safe_until:
                raise LeaseLostError(job_id, claim.fence) from error
            continue
        safe_until = asked_at + lease_seconds * _SAFE_SHARE
        if wish is Wish.CANCEL:
            cancel.set()
