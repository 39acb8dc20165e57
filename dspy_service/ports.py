"""What we need from the outside, as Protocols; every adapter file ends with its proof of conformance.

All ports are asynchronous: the API serves on one event loop, and each job is supervised on one.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from dspy_service.domain.events import Event, NewEvent
from dspy_service.domain.job import Claim, Job, NewJob, Outcome, Wish
from dspy_service.domain.keys import ApiKey
from dspy_service.domain.spec import Row
from dspy_service.domain.supervision import RunReport
from dspy_service.domain.workers import SandboxLevel, WorkerInfo


class JobStore(Protocol):
    """The job records, their event logs, leases and outbox. Every write of a worker names its fence."""

    async def create(self, new: NewJob) -> tuple[Job, bool]:
        """Record a job, its index entry, its outbox entry and its first event in one step.

        Returns:
            The job, and whether it is new (False: the idempotency key replayed an earlier one).

        Raises:
            IdempotencyConflictError: the key was used with another body.
            QuotaExceededError: the tenant has ``max_live_jobs`` jobs that have not ended; checked in the same step.
            StoreUnavailableError: nothing was written.
        """
        ...

    async def get(self, job_id: str) -> Job:
        """Return the record, or raise JobNotFoundError."""
        ...

    async def claim(self, job_id: str, *, owner: str, lease_seconds: float, sandbox_level: str) -> Claim | None:
        """Take a pending job: fence + 1, attempt + 1, ``validating``, leased. None when there is nothing to take."""
        ...

    async def renew(self, job_id: str, *, fence: int, lease_seconds: float) -> Wish:
        """Extend the lease and read the wish on the record. Raises LeaseLostError."""
        ...

    async def append(
        self,
        job_id: str,
        *,
        fence: int,
        events: Sequence[NewEvent],
        latest_metrics: dict[str, object] | None = None,
        message: str | None = None,
        eta_seconds: float | None = None,
        batch: str | None = None,
    ) -> int:
        """Append events at a cost that does not depend on the history, and refresh the record's own view of them.

        ``latest_metrics`` replaces the record's mapping; ``eta_seconds`` counts from now; None leaves a field alone.
        ``batch`` names this call among those of its fence: when the answer was lost, the same call again changes
        nothing, unless another named batch came in between.

        Returns:
            The number of the last event.

        Raises:
            LeaseLostError: another fence holds the job; nothing was written.
        """
        ...

    async def advance(self, job_id: str, *, fence: int) -> None:
        """Move ``validating`` to ``running`` and append the state event. Raises LeaseLostError."""
        ...

    async def finish(self, job_id: str, *, fence: int, outcome: Outcome) -> Job:
        """End the job: terminal state, its event, no lease, no outbox entry; no spec either once it has files.

        Idempotent: the same fence with the same status answers as the first time. Raises LeaseLostError.
        """
        ...

    async def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with ``seq > after``, oldest first; empty once they were dropped."""
        ...

    async def drop_events(self, job_id: str) -> None:
        """Delete a terminal job's event log from the store, once it stands in the artifact store."""
        ...

    async def due(self, *, limit: int) -> list[str]:
        """Return job ids whose doorbell must ring now, and put each one's next ring off (with back-off)."""
        ...

    async def wait_for_submit(self, timeout_seconds: float) -> bool:
        """Wait until a job was submitted or the time is up; True when one was."""
        ...

    async def announce_worker(self, worker: WorkerInfo, *, ttl_seconds: float) -> None:
        """Say that a worker lives; forgotten after ``ttl_seconds``."""
        ...

    async def retire_worker(self, worker_id: str) -> None:
        """Forget a worker that stops."""
        ...

    async def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that announced themselves and have not expired."""
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


class KeyStore(Protocol):
    """The API keys. None is ever deleted: revoking one leaves its record."""

    async def add(self, key: ApiKey) -> None:
        """Record a new key."""
        ...

    async def any_exists(self) -> bool:
        """Whether a key was ever made; once True, for ever True."""
        ...

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the record, whatever its tenant."""
        ...

    async def list(self, tenant: str) -> list[ApiKey]:
        """Return the tenant's keys, oldest first."""
        ...

    async def revoke(self, key_id: str, *, tenant: str, now: datetime) -> ApiKey:
        """Close a key for good; the first time of several counts. Raises KeyNotFoundError, also for a foreign key."""
        ...

    async def touch(self, key_id: str, *, now: datetime) -> None:
        """Note a use; never moves the time of the last one back."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class RateLimiter(Protocol):
    """Counts requests by name, together for every process of the service."""

    async def take(self, name: str, *, per_minute: int) -> float | None:
        """Count one more; None when it is within ``per_minute``, else the seconds until one will be."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class ArtifactStore(Protocol):
    """Files by slash-separated path. Writes are atomic: a reader sees a whole file or none."""

    async def put(self, path: str, data: bytes) -> None:
        """Write a file, replacing one of the same name."""
        ...

    async def put_new(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; True when it was written. For content-addressed names."""
        ...

    async def get(self, path: str) -> bytes:
        """Return a file's bytes, or raise FileNotStoredError."""
        ...

    def stream(self, path: str) -> AsyncIterator[bytes]:
        """Yield a file in pieces, or raise FileNotStoredError."""
        ...

    async def list(self, folder: str) -> list[str]:
        """Return the paths of all files below ``folder``, sorted."""
        ...

    async def delete_folder(self, folder: str) -> None:
        """Delete every file below ``folder``."""
        ...


class Doorbell(Protocol):
    """Tells some worker that a job waits. A ring may be lost or doubled; the record is the truth."""

    async def ring(self, job_id: str) -> None:
        """Publish the job's id. Raises StoreUnavailableError."""
        ...

    async def waiting(self) -> int:
        """Return how many rings no worker has taken yet. Raises StoreUnavailableError."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class Supervisor(Protocol):
    """Runs one attempt of a job in a confined process and tells its story to the job store."""

    @property
    def sandbox_level(self) -> SandboxLevel:
        """How submitted code will be confined; recorded with the claim, before any of it is read."""
        ...

    async def run(self, claim: Claim, rows: Sequence[Row], *, jobs: JobStore, cancel: asyncio.Event) -> RunReport:
        """Run the attempt to its end; the process is gone when this returns or raises.

        Events are appended under the claim's fence as they happen. Whatever the submitted program does is in the
        report, never an exception.

        Args:
            claim: Proof of ownership, with the spec.
            rows: The dataset.
            jobs: Where events go.
            cancel: Set when the job is to be stopped.

        Raises:
            LeaseLostError: another worker owns the job now.
            StoreUnavailableError: events could not be written for too long.
        """
        ...
