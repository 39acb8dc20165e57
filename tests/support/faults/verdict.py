"""Judges every job of a store: its history, its program, and that the store itself holds no trace of work."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import redis.asyncio as redis

from dspy_service.adapters.redis import key_names
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.job import Job, JobStatus
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.read_events import read_events
from dspy_service.usecases.read_job import read_status
from tests.support.faults.history import History

_EMPTY_AT_REST: Final = (
    key_names.OUTBOX,
    key_names.LEASES,
    key_names.WAITING,
    key_names.QUEUED,
    key_names.UNSETTLED,
    "{dspy}:running:*",
    "{dspy}:waiting:*",
    "{dspy}:job:*:events",
    "{dspy}:job:*:spec",
)


@dataclass(frozen=True)
class Judge:
    """Reads as a client would, and everything.

    Args:
        jobs: The records.
        artifacts: Logs, results and programs of those that have ended.
        secret_key: Proves them.
        max_losses: What the workers were set to.
        retries: How often a user opened a failed job again, by its id.
    """

    jobs: JobStore
    artifacts: ArtifactStore
    secret_key: bytes
    max_losses: int = 3
    retries: Mapping[str, int] = field(default_factory=dict)

    async def violations(self, job_ids: Iterable[str]) -> list[str]:
        """Return a sentence for each thing that must not be; empty when all is well."""
        return [sentence for job_id in job_ids for sentence in await self._of_one(job_id)]

    async def _of_one(self, job_id: str) -> list[str]:
        try:
            job = await self.jobs.get(job_id)
            events = await read_events(job, jobs=self.jobs, artifacts=self.artifacts, secret_key=self.secret_key)
            history = History(job, events, max_losses=self.max_losses, retries=self.retries.get(job_id, 0))
            return history.violations() + await self._program(job)
        except ServiceError as error:
            return [f"job {job_id}: I1: it cannot be read: {error!r}"]

    async def _program(self, job: Job) -> list[str]:
        """Check that an ended job shows a result, and one with a program a whole and signed one."""
        view = await read_status(
            job.job_id,
            tenant=job.tenant,
            jobs=self.jobs,
            artifacts=self.artifacts,
            secret_key=self.secret_key,
        )
        if not job.status.is_terminal:
            return []
        if view.result is None:
            return [f"job {job.job_id}: I1: it ended without a result"]
        program = view.result.program_artifact
        if job.has_artifact and not (program and program.program_pickle_base64):
            return [f"job {job.job_id}: I1: its program is not there"]
        if job.status is JobStatus.SUCCESS and view.result.termination_reason != job.termination_reason:
            return [f"job {job.job_id}: I2: its result says {view.result.termination_reason!r}"]
        return []


async def traces_of_work(url: str) -> list[str]:
    """Return what stands in the store only while some job waits, runs or is to be settled."""
    async with redis.Redis.from_url(url, decode_responses=True) as raw:
        found = await asyncio.gather(*(raw.keys(pattern) for pattern in _EMPTY_AT_REST))
    return [f"I1: the store still has {key}" for keys in found for key in sorted(map(str, keys))]
