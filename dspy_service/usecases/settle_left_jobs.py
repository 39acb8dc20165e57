"""Settles jobs whose own worker did not: it died after the end, the store ended them, or files could not be written."""

import logging
import time
from collections.abc import Callable
from typing import Final

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.settle_job import settle_job

_log: Final = logging.getLogger(__name__)
LEFT_SECONDS: Final = 3.0
"""After its end a job is its own worker's to settle."""
AGAIN_SECONDS: Final = 60.0
"""A job that cannot be settled for a reason of its own is tried again then."""
BATCH: Final = 100


class Settler:
    """Looks for jobs that were left; every worker's parent has one, and two may settle the same job.

    Args:
        secret_key: Signs archives.
        clock: Seconds that only rise.
    """

    def __init__(self, *, secret_key: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret_key = secret_key
        self._clock = clock
        self._put_off: dict[str, float] = {}

    async def settle(
        self, *, jobs: JobStore, artifacts: ArtifactStore, older_than_seconds: float = LEFT_SECONDS
    ) -> None:
        """Settle those that ended longer ago.

        Raises:
            StoreUnavailableError: some are not settled yet.
        """
        now = self._clock()
        self._put_off = {job_id: until for job_id, until in self._put_off.items() if until > now}
        most = BATCH + len(self._put_off)  # which are the oldest, and must not hide the others
        for job_id in await jobs.unsettled(older_than_seconds=older_than_seconds, limit=most):
            if job_id in self._put_off:
                continue
            try:
                await settle_job(job_id, jobs=jobs, artifacts=artifacts, secret_key=self._secret_key)
            except StoreUnavailableError:
                raise
            except Exception:  # noqa: BLE001  # one job that cannot be settled must not keep the others from it
                _log.exception("What job %s left cannot be put in its place.", job_id)
                self._put_off[job_id] = now + AGAIN_SECONDS
