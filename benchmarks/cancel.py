"""How soon a cancelled job calls no model any more, what it keeps, and what a pause costs.

1. Jobs of MIPROv2, GEPA and random search are cancelled over HTTP at random moments, from the first to the last of
   their calls. *Last call* is the time from the answer to the cancel until the last request of the job reached the
   language model's server, 0 when none came. A program must be there whenever the job had told of a checkpoint before.
   *Too late* are jobs that reached their own end before their worker heard of the cancel.
2. One job of each is paused half-way; its worker is told to end. After a minute another worker process starts, and
   the jobs are resumed: no call may come twice, and the programs must be those of jobs without a pause.

Leases and heartbeats are those that the service has by default.
"""

import argparse
import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.support.figures import percentile, print_machine
from benchmarks.support.observed_jobs import Observed, ObservedJobs, observed_jobs
from benchmarks.support.searches import Search, searches
from dspy_service.client import Client
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job, JobStatus

OPTIMIZERS: Final = ("miprov2", "gepa", "bootstrap_few_shot_with_random_search")
TARGET_SECONDS: Final = 2.0
DEFAULTS: Final = {"LEASE_SECONDS": "15", "HEARTBEAT_SECONDS": "1"}
TENANT: Final = "local"
LATE_SECONDS: Final = 1.0
"""After the last job's end, for requests that should not come."""


@dataclass(frozen=True)
class Cancelled:
    """One cancel."""

    phase: str
    last_call_seconds: float
    ended_seconds: float
    had_checkpoint: bool
    has_artifact: bool
    is_too_late: bool
    """Whether the job reached its own end before its worker heard of the cancel."""


@dataclass(frozen=True)
class _Asked:
    observed: Observed
    phase: str
    had_checkpoint: bool
    answered_at: float
    """``time.monotonic``, when the cancel was answered."""
    ended_at: float
    job: Job


@dataclass(frozen=True)
class Reference:
    """A job that nobody stops."""

    search: Search
    observed: Observed
    calls: int
    program: bytes | None


def main() -> None:
    """Cancel, pause, print; exit code 1 when a target is missed."""
    options = _parse()
    print_machine(f"Cancelled and paused: {options.latency_ms:g} ms latency, 8 threads")
    sys.exit(asyncio.run(_measure(options)))


async def _measure(options: argparse.Namespace) -> int:
    missed = 0
    async with observed_jobs(latency_seconds=options.latency_ms / 1000) as jobs:
        api = await jobs.stage.api(**DEFAULTS)
        await jobs.stage.worker(**DEFAULTS)
        references = [await _reference(jobs, search) for search in searches(options.optimizer or list(OPTIMIZERS))]
        with Client(api.base_url) as client:
            if options.cancels:
                missed += await _cancels(jobs, client, references, options)
            if options.pause_seconds:
                missed += await _pauses(jobs, client, references, options.pause_seconds)
    print(f"{missed} targets missed" if missed else "every target met")
    return 1 if missed else 0


async def _reference(jobs: ObservedJobs, search: Search) -> Reference:
    observed = await jobs.submit(search)
    job = await jobs.until_ended(observed)
    if job.status is not JobStatus.SUCCESS:
        raise SystemExit(f"The reference of {search.name} ended {job.status} ({job.message}).")
    return Reference(search, observed, len(jobs.log.calls(observed.model)), await jobs.program(job))


async def _cancels(
    jobs: ObservedJobs, client: Client, references: Sequence[Reference], options: argparse.Namespace
) -> int:
    draw, missed = random.Random(options.seed), 0  # noqa: S311  # moments, not secrets
    line = "{:<14} {:>7} {:>6} {:>6} {:>6} {:>9} {:>11} {:>5} {:>8}  {}"
    names = ("cancels", "p50 s", "p95 s", "most s", "ended p95", "checkpoints", "kept", "too late", "cancelled in")
    print(line.format("optimizer", *names))
    for reference in references:
        asked = [await _cancel(jobs, client, reference, draw) for _ in range(options.cancels)]
        await asyncio.sleep(LATE_SECONDS)
        done = [_cancelled(jobs, each) for each in asked]
        seconds = [each.last_call_seconds for each in done]
        promised = [each for each in done if each.had_checkpoint]
        kept = sum(each.has_artifact for each in promised)
        too_late = sum(each.is_too_late for each in done)
        phases = ", ".join(f"{phase} {count}" for phase, count in Counter(each.phase for each in done).most_common())
        print(
            line.format(
                reference.search.name,
                len(done),
                f"{percentile(seconds, 50):.2f}",
                f"{percentile(seconds, 95):.2f}",
                f"{max(seconds):.2f}",
                f"{percentile([each.ended_seconds for each in done], 95):.2f}",
                len(promised),
                kept,
                too_late,
                phases,
            ),
            flush=True,
        )
        missed += (percentile(seconds, 95) > TARGET_SECONDS) + (kept < len(promised))
    return missed


async def _cancel(jobs: ObservedJobs, client: Client, reference: Reference, draw: random.Random) -> _Asked:
    """Cancel one job at a random moment; a job that ends before is replaced by another."""
    while True:
        observed = await jobs.submit(reference.search, tenant=TENANT)
        if await jobs.until_answered(observed, int(draw.random() * reference.calls)):
            before = await jobs.stage.events(observed.job_id)
            await asyncio.to_thread(client.cancel, observed.job_id)
            answered_at = time.monotonic()
            job = await jobs.stage.until(observed.job_id, lambda job: job.status.is_terminal)
            ended_at = time.monotonic()
            job = await jobs.until_ended(observed)
            has_checkpoint = any(event.type is EventType.CHECKPOINT for event in before)
            return _Asked(observed, _phase(before), has_checkpoint, answered_at, ended_at, job)
        await jobs.until_ended(observed)


def _cancelled(jobs: ObservedJobs, asked: _Asked) -> Cancelled:
    last = max((call.arrived_at for call in jobs.log.calls(asked.observed.model)), default=asked.answered_at)
    return Cancelled(
        phase=asked.phase,
        last_call_seconds=max(0.0, last - asked.answered_at),
        ended_seconds=asked.ended_at - asked.answered_at,
        had_checkpoint=asked.had_checkpoint,
        has_artifact=asked.job.has_artifact,
        is_too_late=asked.job.status is not JobStatus.CANCELLED,
    )


def _phase(events: Sequence[Event]) -> str:
    """Say how far a job had come."""
    told = {event.data.get("event") for event in events if event.type is EventType.PROGRESS}
    if "optimized_progress" in told:
        return "final"
    if "baseline_evaluated" in told:
        return "compile"
    states = {event.data["status"] for event in events if event.type is EventType.STATE}
    return "baseline" if JobStatus.RUNNING in states else "start"


async def _pauses(jobs: ObservedJobs, client: Client, references: Sequence[Reference], seconds: float) -> int:
    """Pause a job of each half-way, end their worker, and go on with another one."""
    missed = 0
    paused = [await _pause(jobs, client, reference) for reference in references]
    (worker,) = jobs.stage.workers
    worker.send(signal.SIGTERM)
    await asyncio.to_thread(worker.wait, seconds=30)
    await asyncio.sleep(seconds)
    await jobs.stage.worker(**DEFAULTS)
    print(f"Paused for {seconds:g} s, then resumed by another worker process")
    line = "{:<14} {:>6} {:>9} {:>9} {:>8} {:>7} {:>9}  {}"
    print(line.format("optimizer", "calls", "at pause", "repeated", "attempts", "losses", "active s", "program"))
    for reference, observed in zip(references, paused, strict=True):
        at_pause = len(jobs.log.calls(observed.model))
        await asyncio.to_thread(client.resume, observed.job_id)
        job = await jobs.until_ended(observed)
        repeated = jobs.log.repeated(observed.model, reference.observed.model)
        is_same = await jobs.program(job) == reference.program
        calls = len(jobs.log.calls(observed.model))
        told = "identical" if is_same else f"DIFFERENT ({job.status}, {job.message})"
        active = f"{job.active_seconds:.1f}"
        print(
            line.format(reference.search.name, calls, at_pause, repeated, job.attempt, job.losses, active, told),
            flush=True,
        )
        missed += bool(repeated) or not is_same or bool(job.losses)
    return missed


async def _pause(jobs: ObservedJobs, client: Client, reference: Reference) -> Observed:
    observed = await jobs.submit(reference.search, tenant=TENANT)
    if not await jobs.until_answered(observed, reference.calls // 2):
        raise SystemExit(f"A job of {reference.search.name} ended before it could be paused.")
    await asyncio.to_thread(client.pause, observed.job_id)
    await jobs.stage.until(observed.job_id, lambda job: job.status is JobStatus.PAUSED)
    return observed


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cancel", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cancels", type=int, default=20, help="of each optimizer (default 20; 0: none)")
    parser.add_argument("--pause-seconds", type=float, default=60.0, help="default 60; 0: no pause")
    parser.add_argument(
        "--latency-ms", type=float, default=100.0, help="of the language model, on average (default 100)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default 1)")
    parser.add_argument("--optimizer", action="append", help="only this one; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    main()
