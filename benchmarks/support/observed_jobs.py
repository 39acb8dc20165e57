"""Jobs on a stage for faults, each with a model of its own name, so that the server's log tells whose call is whose."""

import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.support.lm_log import LmLog, learner
from benchmarks.support.searches import Search
from dspy_service.domain.errors import FileNotStoredError
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job
from dspy_service.domain.result import StoredResult
from dspy_service.usecases.signed_files import read_signed
from tests.support.faults.stage import SECRET_KEY, Stage, stage
from tests.support.platforms import short_folder
from tests.support.waiting import until

JOB_SECONDS = 300.0


@dataclass(frozen=True)
class Observed:
    """A job that was submitted, and how its requests are told from others."""

    job_id: str
    model: str
    search: Search
    submitted_at: float
    """``time.monotonic``."""


class ObservedJobs:
    """Submits, waits and reads, on one stage."""

    def __init__(self, played_on: Stage) -> None:
        self.stage = played_on
        self.log = LmLog(played_on.provider)
        self._numbers = itertools.count(1)

    async def submit(self, search: Search, *, tenant: str | None = None, **changes: Any) -> Observed:  # noqa: ANN401  # JSON
        """Submit a job under a model name that no other job has.

        Args:
            search: What it does.
            tenant: None: one that no other job has, either.
            changes: Other values in the body of ``POST /run``.
        """
        number = next(self._numbers)
        body = search.body(model=f"job-{number}", base_url=self.stage.provider.base_url)
        job_id = await self.stage.submit(tenant=tenant or f"tenant-{number}", **{**body, **changes})
        return Observed(job_id, f"job-{number}", search, time.monotonic())

    async def until_answered(self, observed: Observed, count: int) -> bool:
        """Wait until so many of the job's calls were answered; False when it ended before."""
        ended = False

        async def enough() -> bool:
            nonlocal ended
            if self.log.answered(observed.model) >= count:
                return True
            ended = (await self.stage.job(observed.job_id)).status.is_terminal
            return ended

        await until(enough, seconds=JOB_SECONDS)
        return not ended

    async def until_ended(self, observed: Observed) -> Job:
        """Wait until the job has ended and is settled."""
        return await self.stage.until_ended(observed.job_id, seconds=JOB_SECONDS)

    async def program(self, job: Job) -> bytes | None:
        """Return the state of the program that a job left, without its metadata; None: there is none."""
        try:
            state = json.loads(await self._file(job, "program.json"))
        except FileNotStoredError:
            return None
        state.pop("metadata", None)
        return json.dumps(state).encode()

    async def result(self, job: Job) -> StoredResult:
        """Return what an ended job measured and used."""
        return StoredResult.model_validate_json(await self._file(job, "result.json"))

    async def states(self, observed: Observed) -> list[Event]:
        """Return the events of the job that tell a state, in order."""
        return [event for event in await self.stage.events(observed.job_id) if event.type is EventType.STATE]

    async def _file(self, job: Job, name: str) -> bytes:
        return await read_signed(job, name, artifacts=self.stage.artifacts, secret_key=SECRET_KEY.encode())


@asynccontextmanager
async def observed_jobs(*, latency_seconds: float) -> AsyncIterator[ObservedJobs]:
    """Open a stage without workers, whose language model takes about ``latency_seconds`` for an answer."""
    with short_folder() as folder:
        async with stage(folder) as opened:
            opened.provider.script = learner(latency_seconds)
            yield ObservedJobs(opened)
