"""The job records on Redis: submits, claims, and what the holder of a claim writes."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from dspy_service.adapters.job_record import IDEMPOTENCY_SECONDS, to_json
from dspy_service.adapters.redis.key_names import PIN, idempotency_key, job_key, spec_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import (
    fixed_json,
    from_micros,
    job_from_hash,
    job_from_pairs,
    to_micros,
)
from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import (
    IdempotencyKeyReusedError,
    JobNotFoundError,
    LeaseLostError,
    StoreUnavailableError,
)
from dspy_service.domain.job import SCHEMA_VERSION, BestSoFar, Claim, Job, JobStatus, NewJob, Outcome, Wish
from dspy_service.domain.schema_version import require_known_version
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.store_outage import repeat_while_away


class RedisJobRecords(RedisPart):
    """See the port ``JobRecords``; ends and reopenings that no worker writes stand in ``RedisJobEnds``."""

    async def create(self, new: NewJob) -> tuple[Job, bool]:
        """Record a job, its index and queue entries and its first event; or replay an idempotency key."""
        keys = [job_key(new.job_id)]
        if new.idempotency_key is not None:
            keys.append(idempotency_key(new.tenant, new.idempotency_key))
        spec = new.spec
        webhook = "" if spec.webhook is None else spec.webhook.model_dump_json()
        optimizer = new.optimizer or spec.optimizer_name
        indexed = (new.job_id, SCHEMA_VERSION, new.tenant, optimizer, spec.priority, webhook)
        kept = (fixed_json(new), spec.model_dump_json(), new.dataset_path, new.body_sha256)
        args = (*indexed, *kept, IDEMPOTENCY_SECONDS, new.max_live_jobs)
        kind, *rest = await self._client.run("create", keys=keys, args=args)
        if kind == "conflict":
            raise IdempotencyKeyReusedError(new.idempotency_key or "")
        if kind == "full":
            raise QuotaExceededError(new.max_live_jobs)
        if kind == "leaving":
            raise StoreUnavailableError("dataset")
        if kind == "created":
            return job_from_pairs(rest[0]), True
        return await self.get(rest[0] if rest else new.job_id), kind == "repeated"

    async def get(self, job_id: str) -> Job:
        """Return the record, or raise JobNotFoundError."""
        fields = await self._client.command("HGETALL", job_key(job_id))
        if not fields:
            raise JobNotFoundError(job_id)
        return job_from_hash(fields)

    async def spec(self, job_id: str) -> JobSpec | None:
        """Return what was asked for; None once it has moved to the artifact store."""
        text = await self._client.command("GET", spec_key(job_id))
        return None if text is None else JobSpec.model_validate_json(text)

    async def claim(
        self, job_id: str, *, owner: str, lease_seconds: float, sandbox_level: str, tenant_running_jobs: int = 0
    ) -> Claim | None:
        """Take a pending job, or return None."""
        epoch = secrets.token_hex(8)
        args = (job_id, SCHEMA_VERSION, owner, to_micros(lease_seconds), sandbox_level, epoch, tenant_running_jobs)
        kind, *rest = await self._claim(job_id, args, seconds=lease_seconds)
        if kind == "newer":
            require_known_version(f"job {job_id}", int(rest[0]), known=SCHEMA_VERSION)
        if kind != "claimed":
            return None
        claim = Claim(job=job_from_pairs(rest[0]), spec=JobSpec.model_validate_json(rest[1]))
        self._remember(job_id, claim.fence, epoch)
        return claim

    async def _claim(self, job_id: str, args: Sequence[str | int], *, seconds: float) -> list[Any]:
        """Ask again for so long: an answer that was lost may have been a yes, and then nobody else may have the job."""
        answer: list[Any] = await repeat_while_away(
            lambda: self._client.run("claim", keys=[job_key(job_id)], args=args), at_most_seconds=seconds
        )
        return answer

    async def renew(
        self, job_id: str, *, fence: int, lease_seconds: float, active_seconds: float | None = None
    ) -> Wish:
        """Extend the lease and read the wish."""
        args = to_micros(lease_seconds), _micros_or_nothing(active_seconds)
        return Wish(str(await self._held("renew", job_id, fence, *args)))

    async def advance(self, job_id: str, *, fence: int) -> None:
        """Move ``validating`` to ``running``; saying it twice changes nothing."""
        await self._held("advance", job_id, fence)

    async def keep_best(self, job_id: str, *, fence: int, best: BestSoFar) -> None:
        """Note the best program so far, unless a better one stands there."""
        await self._held("keep_best", job_id, fence, to_json(best.score), best.model_dump_json())

    async def _held(self, verb: str, job_id: str, fence: int, *args: str | int) -> str | int:
        """Run a script that answers nil unless the writer holds the job."""
        answer: str | int | None = await self._client.run(
            verb, keys=[job_key(job_id)], args=(job_id, self._proof(job_id, fence), *args)
        )
        if answer is None:
            raise LeaseLostError(job_id, fence)
        return answer

    async def finish(self, job_id: str, *, fence: int, outcome: Outcome) -> Job:
        """End the job; the same fence with the same status answers as the first time."""
        sources = " ".join(status for status in JobStatus if status.can_become(outcome.status))
        details = (outcome.termination_reason, outcome.message, outcome.result_path or "", int(outcome.has_artifact))
        active = _micros_or_nothing(outcome.active_seconds)
        args = (job_id, self._proof(job_id, fence), outcome.status.value, f" {sources} ", *details, active)
        kind, *rest = await self._client.run("finish", keys=[job_key(job_id)], args=args)
        if kind == "lost":
            raise LeaseLostError(job_id, fence)
        if kind == "illegal":
            message = f"a {rest[0]} job cannot become {outcome.status}"
            raise ValueError(message)
        return job_from_pairs(rest[0])

    async def release(
        self,
        job_id: str,
        *,
        fence: int,
        message: str | None = None,
        keeps_place: bool = True,
        active_seconds: float | None = None,
    ) -> Job:
        """Give the job back without a loss."""
        active = _micros_or_nothing(active_seconds)
        args = (job_id, self._proof(job_id, fence), message or "", int(keeps_place), active)
        kind, *rest = await self._client.run("release", keys=[job_key(job_id)], args=args)
        if kind == "lost":
            raise LeaseLostError(job_id, fence)
        return job_from_pairs(rest[0])

    async def pin(self, name: str, value: str) -> str:
        """Remember ``value`` unless something else stands under ``name``; return what stands."""
        await self._client.command("SET", PIN + name, value, "NX")
        return str(await self._client.command("GET", PIN + name))

    async def now(self) -> datetime:
        """Return Redis' own clock."""
        seconds, micros = await self._client.command("TIME")
        return from_micros("0") + timedelta(seconds=seconds, microseconds=micros)


def _micros_or_nothing(seconds: float | None) -> int | str:
    return "" if seconds is None else to_micros(seconds)
