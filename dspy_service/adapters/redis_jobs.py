"""The job store on Redis: one atomic script per verb, all times from Redis' own clock.

========================================  =====================================================================
key (one hash tag)                        holds
========================================  =====================================================================
``{dspy}:job:<id>``                       hash: the record, see ``redis_records``
``{dspy}:job:<id>:spec``                  JSON of the spec, until the job ends
``{dspy}:job:<id>:events``                stream: entry ``<seq>-0`` is event ``seq``
``{dspy}:jobs:<tenant>``                  zset of ids, all of score 0, so in the order of their UUIDv7
``{dspy}:unfinished:<tenant>``            set of ids for the tenant's quota; some may have ended meanwhile
``{dspy}:outbox``                         zset: jobs to ring for, by the time of the next ring
``{dspy}:leases``                         zset: jobs that a worker holds, by the time their lease ends
``{dspy}:idem:<tenant>:<key>``            ``<job id> <body hash>``, for a day
``{dspy}:submitted``                      counter of submits, and the channel that tells them
``{dspy}:workers``                        hash: worker id to ``<expiry> <JSON>``
``{dspy}:pin:<name>``                     a value that the first to write it decided
========================================  =====================================================================
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dspy_service.adapters.job_record import (
    FIRST_RING_SECONDS,
    IDEMPOTENCY_SECONDS,
    LONGEST_RING_SECONDS,
    state_event,
    terminal_event,
    to_json,
)
from dspy_service.adapters.redis_client import RedisClient
from dspy_service.adapters.redis_records import (
    event_from_entry,
    fixed_json,
    from_micros,
    job_from_hash,
    job_from_pairs,
    require_known_version,
    to_micros,
)
from dspy_service.adapters.redis_submits import SubmitListener
from dspy_service.domain.errors import (
    IdempotencyConflictError,
    JobNotFinishedError,
    JobNotFoundError,
    LeaseLostError,
    QuotaExceededError,
)
from dspy_service.domain.events import Event, NewEvent
from dspy_service.domain.job import SCHEMA_VERSION, Claim, Job, JobStatus, NewJob, Outcome, Wish
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.workers import WorkerInfo

if TYPE_CHECKING:
    from dspy_service.ports import JobStore

_VERBS = (
    "create",
    "claim",
    "renew",
    "append",
    "advance",
    "finish",
    "drop_events",
    "due",
    "announce_worker",
    "live_workers",
)
_PAGE = 1000  # events in one reply: about 0.2 MB
_JOB = "{dspy}:job:"
_OUTBOX = "{dspy}:outbox"
_LEASES = "{dspy}:leases"
_SUBMITTED = "{dspy}:submitted"
_WORKERS = "{dspy}:workers"
_PIN = "{dspy}:pin:"


class RedisJobStore:
    """Jobs in the Redis (or Valkey) at ``url``: ``redis://``, ``rediss://`` or ``unix://``."""

    def __init__(self, url: str) -> None:
        self._client = RedisClient(url, _VERBS)
        self._submits = SubmitListener(self._client, _SUBMITTED)

    async def create(self, new: NewJob) -> tuple[Job, bool]:
        """Record a job, its index and outbox entry and its first event; or replay an idempotency key."""
        index = f"{{dspy}}:jobs:{new.tenant}"
        unfinished = f"{{dspy}}:unfinished:{new.tenant}"
        keys = [*_job_keys(new.job_id), _spec_key(new.job_id), index, _OUTBOX, _SUBMITTED, unfinished]
        if new.idempotency_key is not None:
            keys.append(f"{{dspy}}:idem:{new.tenant}:{new.idempotency_key}")
        fixed = fixed_json(new)
        first_event = to_json(state_event(JobStatus.PENDING).data)
        spec = new.spec.model_dump_json()
        record = (new.job_id, SCHEMA_VERSION, fixed, spec, first_event, new.body_sha256, IDEMPOTENCY_SECONDS)
        quota = (new.max_live_jobs, _JOB, _words(status for status in JobStatus if status.is_terminal))
        kind, *rest = await self._client.run("create", keys=keys, args=(*record, *quota))
        if kind == "conflict":
            raise IdempotencyConflictError(new.idempotency_key or "")
        if kind == "full":
            raise QuotaExceededError(new.max_live_jobs)
        if kind == "created":
            fields = {"v": str(SCHEMA_VERSION), "fixed": fixed, "status": "pending", "created": rest[0], "seq": "1"}
            return job_from_hash(fields), True
        return await self.get(rest[0] if rest else new.job_id), kind == "repeated"

    async def get(self, job_id: str) -> Job:
        """Return the record, or raise JobNotFoundError."""
        fields = await self._client.command("HGETALL", _JOB + job_id)
        if not fields:
            raise JobNotFoundError(job_id)
        return job_from_hash(fields)

    async def claim(self, job_id: str, *, owner: str, lease_seconds: float, sandbox_level: str) -> Claim | None:
        """Take a pending job, or return None."""
        event = to_json(state_event(JobStatus.VALIDATING).data)
        epoch = secrets.token_hex(8)
        kind, *rest = await self._client.run(
            "claim",
            keys=[*_job_keys(job_id), _spec_key(job_id), _OUTBOX, _LEASES],
            args=(job_id, SCHEMA_VERSION, owner, to_micros(lease_seconds), sandbox_level, epoch, event),
        )
        if kind == "newer":
            require_known_version(f"job {job_id}", int(rest[0]))
        if kind != "claimed":
            return None
        return Claim(job=job_from_pairs(rest[0]), spec=JobSpec.model_validate_json(rest[1]))

    async def renew(self, job_id: str, *, fence: int, lease_seconds: float) -> Wish:
        """Extend the lease and read the wish."""
        args = (job_id, fence, to_micros(lease_seconds))
        wish = await self._client.run("renew", keys=[_JOB + job_id, _LEASES], args=args)
        if wish is None:
            raise LeaseLostError(job_id, fence)
        return Wish(wish)

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
        """Append events and refresh the record's own view of them."""
        changes: list[str] = []
        if latest_metrics is not None:
            changes += ["metrics", to_json(latest_metrics)]
        if message is not None:
            changes += ["message", message]
        eta = "" if eta_seconds is None else to_micros(eta_seconds)
        pairs = [text for event in events for text in (event.type.value, to_json(event.data))]
        args = (fence, batch or "", eta, len(changes) // 2, *changes, *pairs)
        last_seq = await self._client.run("append", keys=_job_keys(job_id), args=args)
        if last_seq is None:
            raise LeaseLostError(job_id, fence)
        return int(last_seq)

    async def advance(self, job_id: str, *, fence: int) -> None:
        """Move ``validating`` to ``running``; saying it twice changes nothing."""
        event = to_json(state_event(JobStatus.RUNNING).data)
        if await self._client.run("advance", keys=_job_keys(job_id), args=[fence, event]) is None:
            raise LeaseLostError(job_id, fence)

    async def finish(self, job_id: str, *, fence: int, outcome: Outcome) -> Job:
        """End the job; the same fence with the same status answers as the first time."""
        sources = _words(status for status in JobStatus if status.can_become(outcome.status))
        event = to_json(terminal_event(outcome).data)
        details = (outcome.termination_reason, outcome.message, outcome.result_path or "", int(outcome.has_artifact))
        kind, *rest = await self._client.run(
            "finish",
            keys=[*_job_keys(job_id), _spec_key(job_id), _LEASES, _OUTBOX],
            args=(job_id, fence, outcome.status.value, sources, event, *details),
        )
        if kind == "lost":
            raise LeaseLostError(job_id, fence)
        if kind == "illegal":
            message = f"a {rest[0]} job cannot become {outcome.status}"
            raise ValueError(message)
        return job_from_pairs(rest[0])

    async def events(self, job_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events with ``seq > after``, oldest first."""
        found: list[Event] = []
        while limit is None or len(found) < limit:
            count = _PAGE if limit is None else min(_PAGE, limit - len(found))
            start = f"{(found[-1].seq if found else max(0, after)) + 1}-0"
            entries = await self._client.command("XRANGE", _log_key(job_id), start, "+", "COUNT", count)
            found += [event_from_entry(entry_id, fields) for entry_id, fields in entries]
            if len(entries) < count:
                break
        return found

    async def drop_events(self, job_id: str) -> None:
        """Delete a terminal job's event log."""
        ended = _words(status for status in JobStatus if status.is_terminal)
        status = await self._client.run("drop_events", keys=_job_keys(job_id), args=[ended])
        if status is None:
            raise JobNotFoundError(job_id)
        if not JobStatus(status).is_terminal:
            raise JobNotFinishedError(job_id, status)

    async def due(self, *, limit: int) -> list[str]:
        """Return the ids to ring now, longest due first, and put each one's next ring off."""
        pauses = (to_micros(FIRST_RING_SECONDS), to_micros(LONGEST_RING_SECONDS))
        ids: list[str] = await self._client.run("due", keys=[_OUTBOX], args=(_JOB, limit, *pauses))
        return ids

    async def wait_for_submit(self, timeout_seconds: float) -> bool:
        """Wait until a job was submitted or the time is up."""
        return await self._submits.wait(timeout_seconds)

    async def announce_worker(self, worker: WorkerInfo, *, ttl_seconds: float) -> None:
        """Say that a worker lives."""
        args = (worker.worker_id, worker.model_dump_json(), to_micros(ttl_seconds))
        await self._client.run("announce_worker", keys=[_WORKERS], args=args)

    async def retire_worker(self, worker_id: str) -> None:
        """Forget a worker that stops."""
        await self._client.command("HDEL", _WORKERS, worker_id)

    async def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that have not expired."""
        live = await self._client.run("live_workers", keys=[_WORKERS])
        return sorted((WorkerInfo.model_validate_json(info) for info in live), key=lambda worker: worker.worker_id)

    async def pin(self, name: str, value: str) -> str:
        """Remember ``value`` unless something else stands under ``name``; return what stands."""
        await self._client.command("SET", _PIN + name, value, "NX")
        return str(await self._client.command("GET", _PIN + name))

    async def now(self) -> datetime:
        """Return Redis' own clock."""
        seconds, micros = await self._client.command("TIME")
        return from_micros("0") + timedelta(seconds=seconds, microseconds=micros)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._submits.aclose()
        await self._client.aclose()


def _job_keys(job_id: str) -> list[str]:
    return [_JOB + job_id, _log_key(job_id)]


def _log_key(job_id: str) -> str:
    return f"{_JOB}{job_id}:events"


def _spec_key(job_id: str) -> str:
    return f"{_JOB}{job_id}:spec"


def _words(statuses: Iterable[JobStatus]) -> str:
    """Return `` a b ``: a list that a script searches as text."""
    return f" {' '.join(statuses)} "


if TYPE_CHECKING:
    _proof: JobStore = RedisJobStore("redis://")
