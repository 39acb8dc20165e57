"""The job records: states, leases and fences. Every write of a worker names its fence."""

from datetime import datetime
from typing import Protocol

from dspy_service.domain.job import BestSoFar, Claim, Job, NewJob, Outcome, Wish
from dspy_service.domain.spec import JobSpec


class JobRecords(Protocol):
    """The only truth about a job's state; every verb is one atomic step."""

    async def create(self, new: NewJob) -> tuple[Job, bool]:
        """Record a job, its index entries, its place in the queue and its first event.

        Returns:
            The job, and whether it is new (False: the idempotency key replayed an earlier one).

        Raises:
            IdempotencyKeyReusedError: the key was used with another body.
            QuotaExceededError: the tenant has ``max_live_jobs`` jobs that have not ended; checked in the same step.
            StoreUnavailableError: nothing was written; also while its dataset, an orphan, is being deleted.
        """
        ...

    async def get(self, job_id: str) -> Job:
        """Return the record, or raise JobNotFoundError."""
        ...

    async def spec(self, job_id: str) -> JobSpec | None:
        """Return what was asked for; None once it has moved to the artifact store."""
        ...

    async def claim(
        self, job_id: str, *, owner: str, lease_seconds: float, sandbox_level: str, tenant_running_jobs: int = 0
    ) -> Claim | None:
        """Take a pending job: fence + 1, attempt + 1, ``validating``, leased. None when there is nothing to take.

        What the attempt before showed (metrics, message, expected end) is cleared.

        Args:
            job_id: The job.
            owner: The worker's name, for people who look.
            lease_seconds: How long the claim holds without a renewal.
            sandbox_level: How its code will be confined.
            tenant_running_jobs: None is taken while the tenant has so many that run; 0: any number.

        Raises:
            StoreUnavailableError: for about ``lease_seconds`` there was no answer that told whether the job was taken.
        """
        ...

    async def renew(self, job_id: str, *, fence: int, lease_seconds: float) -> Wish:
        """Extend the lease and read the wish on the record. Raises LeaseLostError."""
        ...

    async def advance(self, job_id: str, *, fence: int) -> None:
        """Move ``validating`` to ``running`` and append the state event. Raises LeaseLostError."""
        ...

    async def keep_best(self, job_id: str, *, fence: int, best: BestSoFar) -> None:
        """Note where the best program so far stands, so that a stop finds it. Raises LeaseLostError.

        A better one that stands there already, of an earlier attempt, stays.
        """
        ...

    async def finish(self, job_id: str, *, fence: int, outcome: Outcome) -> Job:
        """End the job: terminal state, its event, no lease, no place in the queue; it waits to be settled.

        A pending wish ends with it. Idempotent: the same fence with the same status answers as the first time.
        Raises LeaseLostError.
        """
        ...

    async def release(self, job_id: str, *, fence: int, message: str | None = None) -> Job:
        """Give the job back without a loss: ``paused`` when that is wished, ``cancelled`` likewise, else ``pending``.

        Idempotent like ``finish``. ``message`` says why it waits again, where that needs saying. Raises LeaseLostError.
        """
        ...

    async def wish(self, job_id: str, wish: Wish) -> Job:
        """Ask for a cancel, a pause, or (GO_ON) a resume.

        A job that no worker holds obeys at once: ``cancelled`` (with its best program so far as its artifact),
        ``paused``, or ``pending``. One that a worker holds shows the wish until the worker obeys. Asking twice changes
        nothing. A cancel cannot be taken back.

        Raises:
            JobNotFoundError: there is no such job.
            JobStateError: its state forbids it.
        """
        ...

    async def reopen(self, job_id: str, *, spec: JobSpec) -> Job:
        """Move a failed job back to ``pending`` for a new attempt with the same journal; losses count from 0 again.

        A job that waits or runs already is left as it is.

        Raises:
            JobNotFoundError: there is no such job.
            JobStateError: it has ended otherwise, is paused, or its end has not been settled yet.
        """
        ...

    async def reap(self, *, lease_seconds: float, max_losses: int, limit: int = 100) -> list[Job]:
        """End every lease that has expired, as one loss each: fence + 1 at once, then ``pending`` again.

        With ``max_losses`` losses the job ends ``failed``, reason ``lost``; one that was to be cancelled or paused is.
        A job keeps its best program so far as its artifact when it ends here. Nothing is reaped while the server is up
        for less than ``lease_seconds``: after an outage every lease looks expired.

        Returns:
            The jobs as they are now.
        """
        ...

    async def unsettled(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return ended jobs whose files and events still wait to be put in their last place, oldest end first."""
        ...

    async def settle(self, job_id: str, *, fence: int, archived_seq: int) -> None:
        """Note that an ended job stands in the artifact store, events up to ``archived_seq`` included.

        Its spec, those events and its journal's tail leave the store; a failed job's tail stays for a day, so that a
        retry need not pay for it again. Nothing changes for a job that was reopened, and when the numbers do not fit.

        Args:
            job_id: The job.
            fence: What the archive's manifest names; must be the record's.
            archived_seq: Number of the last archived event; must be the last one of all.
        """
        ...

    async def delete(self, job_id: str) -> bool:
        """Remove every trace of an ended job; False when there was none. Raises JobNotFinishedError."""
        ...

    async def take_orphans(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return datasets that no job has named for so long, and forget them: the caller deletes their files.

        For a minute from now, a new job that names one of them is refused with StoreUnavailableError, so that none is
        accepted whose rows are just being deleted.
        """
        ...

    async def pin(self, name: str, value: str) -> str:
        """Remember ``value`` for ever unless something else stands under ``name``; return what stands."""
        ...

    async def now(self) -> datetime:
        """Return the store's own clock, UTC; also the cheapest proof that it answers."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
