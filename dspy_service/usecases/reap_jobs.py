"""Returns jobs whose worker is gone to the queue."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Job
from dspy_service.ports import JobStore

_log: Final = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks for expired leases."""


class Reaper:
    """Ends leases that have expired; every worker's parent has one, and the store lets each lease be reaped once.

    After an outage of the store every lease looks expired. So a reaper that did not reach it keeps still for one whole
    lease from the last failure on, in which the jobs' holders renew. The store does the same after its own start.

    The same is true when everything stood still: a laptop that slept, containers that were paused. Then the reaper
    comes late to its next look, or finds the store's clock far ahead of its own, which sleeps with the machine.

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
        self._looked_at: float | None = None
        self._store_is_ahead_seconds: float | None = None

    async def reap(self, jobs: JobStore) -> list[Job]:
        """Reap once, and return the jobs as they are now.

        Raises:
            StoreUnavailableError: nothing is known, and nothing will be reaped for a lease.
        """
        try:
            if await self._leapt(jobs):
                self._still_until = self._clock() + self._lease_seconds
            reaped: list[Job] = []
            if self._clock() >= self._still_until:
                reaped = await jobs.reap(lease_seconds=self._lease_seconds, max_losses=self._max_losses)
        except StoreUnavailableError:
            self._still_until, self._looked_at = self._clock() + self._lease_seconds, None
            raise
        self._looked_at = self._clock()
        _log_losses(reaped)
        return reaped

    async def _leapt(self, jobs: JobStore) -> bool:
        """Ask the store for its time, and tell whether much time is missing since the last look."""
        told = (await jobs.now()).timestamp()
        now, before, ahead = self._clock(), self._looked_at, self._store_is_ahead_seconds
        self._store_is_ahead_seconds = told - now
        is_late = before is not None and now - before > LOOK_SECONDS + self._lease_seconds / 2
        has_slept = ahead is not None and self._store_is_ahead_seconds - ahead > self._lease_seconds / 2
        return is_late or has_slept


async def end_leases(owners: Sequence[str], *, jobs: JobStore, max_losses: int) -> list[Job]:
    """Return the jobs of owners that are known to be dead to the queue, without waiting for their leases.

    Nothing has to be sure about the store for that: a lease that looks expired after an outage is a guess, a death is
    none. A claim that was on its way when its owner died may arrive later: call it again for a while.

    Raises:
        StoreUnavailableError: the jobs wait for the end of their leases, or for the next call.
    """
    lost = await jobs.lose(owners, max_losses=max_losses)
    _log_losses(lost)
    return lost


def _log_losses(lost: Sequence[Job]) -> None:
    for job in lost:
        _log.warning("Job %s lost its worker (loss %d) and is %s now.", job.job_id, job.losses, job.status)
