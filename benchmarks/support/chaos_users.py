"""People who use the service while it breaks: they submit, watch, cancel, pause, resume and retry, over HTTP."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, TypeVar

from benchmarks.support.chaos_jobs import a_body
from dspy_service.client import AsyncClient
from dspy_service.client.answers import JobSummary
from dspy_service.client.errors import ApiError, NotYetError, ServiceUnavailableError, ServiceUnreachableError
from dspy_service.domain.job import JobStatus

T = TypeVar("T")

_AGAIN_SECONDS: Final = 0.3
_LOOK_SECONDS: Final = 0.5
_CANCELS: Final = 0.10
_PAUSES: Final = 0.15
_RETRIES: Final = 0.5
_WHIM_NOW: Final = 0.3


@dataclass
class Diary:
    """What all users did and saw."""

    submitted: dict[str, str] = field(default_factory=dict)
    """Of each accepted job, the optimizer."""
    retries: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)


@dataclass
class User:
    """Has one job at a time.

    Args:
        client: Of the service.
        diary: Of all users.
        draw: Their whims.
        leaving: Set when no further job is wanted.
    """

    client: AsyncClient
    diary: Diary
    draw: random.Random
    leaving: asyncio.Event

    async def run(self) -> None:
        """Submit one job after the other, and see each through."""
        while not self.leaving.is_set():
            job_id = await self._submit()
            watching = asyncio.create_task(self._watch(job_id))
            await self._accompany(job_id)
            await watching

    async def _submit(self) -> str:
        body, key = a_body(self.draw), uuid.uuid4().hex
        accepted = await self._insist(lambda: self.client.submit_payload(body, idempotency_key=key))
        self.diary.submitted[accepted.job_id] = str(body["optimizer_name"])
        return accepted.job_id

    async def _accompany(self, job_id: str) -> None:
        """Steer the job at random moments, until it has ended for good."""
        whims = self._whims()
        while True:
            await asyncio.sleep(_LOOK_SECONDS * self.draw.uniform(0.5, 1.5))
            job = await self._insist(lambda: self.client.summary(job_id))
            if job.status is JobStatus.FAILED and self.draw.random() < _RETRIES and not self.leaving.is_set():
                self.diary.retries[job_id] += 1
                await self._do("retry", self.client.retry, job_id)
            elif job.status.is_terminal:
                return
            elif job.status is JobStatus.PAUSED:
                await self._do("resume", self.client.resume, job_id)
            elif whims and self.draw.random() < _WHIM_NOW:
                name = whims.pop()
                await self._do(name, self.client.cancel if name == "cancel" else self.client.pause, job_id)

    def _whims(self) -> list[str]:
        """Return what will be asked of this job, last first."""
        wants = [name for name, chance in (("cancel", _CANCELS), ("pause", _PAUSES)) if self.draw.random() < chance]
        return wants * self.draw.choice((1, 2))  # twice in a row must not matter

    async def _do(self, name: str, ask: Callable[[str], Awaitable[JobSummary]], job_id: str) -> None:
        """Ask until there is an answer; the job may have ended meanwhile."""
        self.diary.deeds[name] += 1
        try:
            await self._insist(lambda: ask(job_id))
        except NotYetError:
            self.diary.deeds[f"{name} came too late"] += 1

    async def _watch(self, job_id: str) -> None:
        """Read the job's events to its end; each must come once and in order."""
        seen = 0
        async with aclosing(self.client.watch(job_id)) as events:
            async for event in events:
                if event.seq != seen + 1:
                    self.diary.complaints.append(f"job {job_id}: a watcher got event {event.seq} after {seen}")
                seen = event.seq
                self.diary.deeds["events watched"] += 1

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except (ServiceUnavailableError, ServiceUnreachableError):
                self.diary.deeds["answers of 503"] += 1
            except NotYetError:
                raise
            except ApiError as error:
                self.diary.complaints.append(f"a user got {error}")
            await asyncio.sleep(_AGAIN_SECONDS)
