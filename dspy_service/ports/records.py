"""The job records: states, leases and fences. Every write of a worker names its fence."""

from collections.abc import Sequence
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
            StoreUnavailableError: it may be recorded or not, which the same idempotency key tells. Also while its
                dataset, an orphan, is being deleted; then it is not.
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

    async def renew(
        self, job_id: str, *, fence: int, lease_seconds: float, active_seconds: float | None = None
    ) -> Wish:
        """Extend the lease and read the wish on the record.

        Args:
            job_id: The job.
            fence: Proof of ownership.
            lease_seconds: How long the claim holds from now.
            active_seconds: Running time of all attempts together, as the holder counts it. The record's never falls:
                less than that, or None, changes nothing.

        Raises:
            LeaseLostError: another worker owns it, or nobody does.
        """
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

    async def release(
        self,
        job_id: str,
        *,
        fence: int,
        message: str | None = None,
        keeps_place: bool = True,
        active_seconds: float | None = None,
    ) -> Job:
        """Give the job back without a loss: ``paused`` when that is wished, ``cancelled`` likewise, else ``pending``.

        Idempotent like ``finish``.

        Args:
            job_id: The job.
            fence: Proof of ownership.
            message: Why it waits again, where that needs saying.
            keeps_place: Whether it waits where it did before, or behind its tenant's other jobs: nothing bounds how
                often one that cannot go on is given back.
            active_seconds: As in ``renew``.

        Raises:
            LeaseLostError: another worker owns it, or nobody does.
        """
        ...

    async def wish(self, job_id: str, wish: Wish) -> Job:
        """Ask for a cancel, a pause, or (GO_ON) a resume.

        A job that no worker holds obeys at once: ``cancelled`` (with its best program so far as its artifact),
        ``paused``, or ``pending``. One that a worker holds shows the wish until the worker obeys. Asking twice changes
        nothing. A cancel cannot be taken back.

        A worker whose lease is over holds nothing: the lease is ended in the same step, as ``reap`` would, unless the
        server is up for less than it lasts.

        Raises:
            JobNotFoundError: there is no such job.
            JobStateError: its state forbids it.
        """
        ...

    async def reopen(self, job_id: str, *, spec: JobSpec, max_live_jobs: int = 0) -> Job:
        """Move a failed job back to ``pending`` for a new attempt with the same journal.

        Losses, and the seconds of a budget, count from 0 again.

        A job that waits or runs again already, since it was reopened, is left as it is.

        Raises:
            JobNotFoundError: there is no such job.
            JobStateError: it has ended otherwise, never has, is paused, or its end has not been settled yet.
            QuotaExceededError: the tenant has ``max_live_jobs`` jobs that have not ended; 0: any number may be.
        """
        ...

    async def reap(self, *, lease_seconds: float, max_losses: int, limit: int = 100) -> list[Job]:
        """End every lease that has expired, as one loss each: fence + 1 at once, then ``pending`` again.

        With ``max_losses`` losses the job ends ``failed``, reason ``lost``. One that was to be cancelled or paused is,
        which is no loss. Who held it is logged, and stands nowhere else.
        A job keeps its best program so far as its artifact when it ends here, and the place in the queue that it had
        when it waits again. Nothing is reaped while the server is up
        for less than ``lease_seconds``: after an outage every lease looks expired.

        Returns:
            The jobs as they are now.
        """
        ...

    async def lose(self, owners: Sequence[str], *, max_losses: int) -> list[Job]:
        """End the leases of owners that are known to be dead, as ``reap`` would at last.

        Args:
            owners: As they claimed; a name must never have been another's.
            max_losses: So many end a job.

        Returns:
            The jobs that they held, as they are now.
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

    async def due_orphans(self, *, older_than_seconds: float, limit: int = 100) -> list[str]:
        """Return datasets that no job has named for so long; the caller deletes their files, then forgets them.

        Each one is due again after as long, so that a caller that dies meanwhile loses none. For a minute from now, a
        new job that names one of them is refused with StoreUnavailableError, so that none is accepted whose rows are
        just being deleted.
        """
        ...

    async def forget_orphan(self, path: str) -> None:
        """Note that the file of a due orphan was deleted.

        It stays an orphan when it was stored again since then, for a job that was refused, and when that was over a
        minute ago.
        """
        ...

    async def note_orphans(self, paths: Sequence[str], *, in_seconds: float) -> None:
        """Note those of these datasets that no job names as orphans, as if from ``in_seconds`` on."""
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
