"""Returns jobs whose worker is gone to the queue."""

import logging
import time
from collections.abc import Callable
from typing import Final

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Job
from dspy_service.ports import JobStore

_log: Final = logging.getLogger(__name__)


class Reaper:
    """Ends leases that have expired; every worker's parent has one, and the store lets each lease be reaped once.

    After an outage of the store every lease looks expired. So a reaper that did not reach it keeps still for one whole
    lease from the last failure on, in which the jobs' holders renew. The store does the same after its own start.

    Args:
        lease_seconds: Of every worker of this service.
        max_losses: A job that has lost so many workers is failed.
        clock: Seconds that only rise.
    """

    def __init__(
        self,
        *,
        lease_seconds: float,
        max_losses: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._max_losses = max_losses
        self._clock = clock
        self._still_until = clock()

    async def reap(self, jobs: JobStore) -> list[Job]:
        """Reap once, and return the jobs as they are now.

        Raises:
            StoreUnavailableError: nothing is known, and nothing will be reaped for a lease.
        """
        try:
            if self._clock() < self._still_until:
                await jobs.now()  # was it away again?
                return []
            reaped = await jobs.reap(lease_seconds=self._lease_seconds, max_losses=self._max_losses)
        except StoreUnavailableError:
            self._still_until = self._clock() + self._lease_seconds
            raise
        for job in reaped:
            _log.warning("Job %s lost its worker (loss %d) and is %s now.", job.job_id, job.losses, job.status)
        return reaped
