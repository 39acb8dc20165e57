"""One chaos run: workers, an API and users, trouble for a while, and then the verdict on every job."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.support.chaos_faults import Troublemaker
from benchmarks.support.chaos_users import Diary, User
from dspy_service.client import AsyncClient
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.events import EventType
from dspy_service.domain.job import JobStatus
from tests.support.faults.history import State
from tests.support.faults.proxy import TcpProxy
from tests.support.faults.stage import SECRET_KEY, Stage, stage
from tests.support.faults.verdict import Judge
from tests.support.faults.worker_process import WorkerProcess
from tests.support.platforms import short_folder
from tests.support.waiting import until

WORKERS: Final = 3
USERS: Final = 6
MAX_LOSSES: Final = 3
AT_ONCE: Final = 2
"""Troubles that may be going on together."""
CALM_SECONDS: Final = 4.0
"""Between two of them, on average."""
SETTLE_SECONDS: Final = 240.0
"""In which every job must have ended once the trouble is over."""
_WATCH_SECONDS: Final = 0.2


@dataclass
class Report:
    """What happened, and what must not have happened."""

    seconds: float = 0.0
    troubles: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    optimizers: Counter[str] = field(default_factory=Counter)
    attempts: list[int] = field(default_factory=list)
    losses: int = 0
    waits_after_loss: list[float] = field(default_factory=list)
    """Seconds from each loss to the next claim."""
    violations: list[str] = field(default_factory=list)
    logs: str = ""
    """What workers and API printed, when there is a violation."""


async def run_chaos(*, seconds: float, seed: int) -> Report:
    """Let it rain for so long, wait until every job has ended, and judge."""
    draw = random.Random(seed)  # noqa: S311  # a repeatable storm
    began = time.monotonic()
    with short_folder() as folder:
        async with stage(folder) as opened:
            opened.max_losses = MAX_LOSSES
            report = await _storm(opened, seconds=seconds, draw=draw)
            report.seconds = time.monotonic() - began
            return report


async def _storm(opened: Stage, *, seconds: float, draw: random.Random) -> Report:
    report, diary, leaving = Report(), Diary(), asyncio.Event()
    ways = [opened.proxy() for _ in range(WORKERS + 1)]
    api = await opened.api(through=ways[0])
    async with AsyncClient(api.base_url) as client, _crew(opened, ways[1:]):
        troublemaker = Troublemaker(opened, ways, lambda: list(diary.submitted), draw)
        users = [User(client, diary, _another(draw), leaving) for _ in range(USERS)]
        using = [asyncio.create_task(user.run()) for user in users]
        await asyncio.gather(*(_trouble(troublemaker, seconds, _another(draw)) for _ in range(AT_ONCE)))
        await troublemaker.aclose()
        leaving.set()
        report.violations += await _end(using) + await _unended(opened, list(diary.submitted))
        report.violations += await opened.leftovers()
        judge = Judge(opened.jobs, opened.artifacts, SECRET_KEY.encode(), MAX_LOSSES, diary.retries)
        report.violations += troublemaker.problems + diary.complaints + await judge.violations(diary.submitted)
        for job_id, optimizer in diary.submitted.items():
            report.optimizers[optimizer] += 1
            await _add(report, opened, job_id)
        if report.violations:
            report.logs = opened.logs(last_chars=10**7)
    report.troubles, report.deeds = troublemaker.done, diary.deeds
    report.violations += [f"I5: {each.command}" for worker in opened.workers for each in worker.orphans()]
    return report


async def _trouble(troublemaker: Troublemaker, seconds: float, draw: random.Random) -> None:
    ends_at = time.monotonic() + seconds
    while (left_seconds := ends_at - time.monotonic()) > 0:
        await asyncio.sleep(min(draw.expovariate(1 / CALM_SECONDS), left_seconds))
        await troublemaker.trouble()


async def _end(using: list[asyncio.Task[None]]) -> list[str]:
    """Wait until the users have seen their last jobs through."""
    _, waiting = await asyncio.wait(using, timeout=SETTLE_SECONDS)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*using, return_exceptions=True)
    errors = [task.exception() for task in using if not task.cancelled()]
    told = [f"a user gave up: {error!r}" for error in errors if error is not None]
    return told + [f"{len(waiting)} users still wait after {SETTLE_SECONDS:.0f} s"] * bool(waiting)


async def _unended(opened: Stage, job_ids: list[str]) -> list[str]:
    """Wait until every job has ended and is settled; name those that have not."""

    async def all_have_ended() -> bool:
        jobs = [await opened.job(job_id) for job_id in waiting]
        waiting[:] = [job.job_id for job in jobs if not (job.status.is_terminal and job.archived_seq == job.last_seq)]
        return not waiting

    waiting = list(job_ids)
    with contextlib.suppress(TimeoutError):
        await until(all_have_ended, seconds=SETTLE_SECONDS)
    return [f"I1: job {job_id} has not ended and settled" for job_id in waiting]


async def _add(report: Report, opened: Stage, job_id: str) -> None:
    """Add what one job tells to the figures."""
    try:
        job, events = await opened.job(job_id), await opened.events(job_id)
    except ServiceError:
        return  # the judge has said so
    states = [State(event) for event in events if event.type is EventType.STATE]
    report.ends[f"{job.status} ({job.termination_reason})"] += 1
    report.attempts.append(job.attempt)
    for lost, claimed in itertools.pairwise(states):
        if lost.loss is not None:
            report.losses += 1
        if lost.loss is not None and claimed.status is JobStatus.VALIDATING:
            waited = claimed.event.timestamp - lost.event.timestamp
            report.waits_after_loss.append(waited.total_seconds())


def _another(draw: random.Random) -> random.Random:
    return random.Random(draw.random())  # noqa: S311  # a repeatable storm


@asynccontextmanager
async def _crew(opened: Stage, ways: Sequence[TcpProxy]) -> AsyncIterator[None]:
    """Keep one worker running behind each proxy, as a service manager does; end all of them at last."""

    async def keep() -> None:
        while True:
            for way in ways:
                if not any(worker.is_running and worker.way is way for worker in opened.workers):
                    opened.workers.append(WorkerProcess.start(opened.settings(way), opened.folder, slots=1, way=way))
            await asyncio.sleep(_WATCH_SECONDS)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        for worker in opened.workers:
            await asyncio.to_thread(worker.end)
