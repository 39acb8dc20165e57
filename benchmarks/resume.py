"""What a killed process costs: language model calls that are made again, and whether the program is still the same.

For every optimizer that says it can resume, against one loopback OpenAI-compatible server:

* one job without any fault, the reference;
* jobs whose worker is killed (``kill -9`` of its whole process group) when 20, 60 and 90 % of the reference's calls are
  answered; another worker takes over when the lease has ended;
* a job whose runner alone is killed at 60 %: it fails at once, and is retried.

*Repeated* are requests at the server beyond those of the reference. *In flight* are those that had come and whose
answer the journal did not hold when the processes were dead; *open* are those of them that the server had not answered
when the kill began, so that the others' answers were on their way. With 8 threads, never more than 8 can be in flight:
a journal that lags behind would show there. The program is compared byte for byte, without its metadata.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.support.figures import print_machine
from benchmarks.support.lm_log import open_since
from benchmarks.support.observed_jobs import Observed, ObservedJobs, observed_jobs
from benchmarks.support.searches import Search, searches
from dspy_service.domain.job import JobStatus
from dspy_service.usecases.control_job import retry
from tests.support.faults.stage import SECRET_KEY

WORKER_SHARES: Final = (0.2, 0.6, 0.9)
RUNNER_SHARE: Final = 0.6
ARRIVING_SECONDS: Final = 0.3
"""What a killed process has sent is read by the server meanwhile; its successor begins after the lease."""
THREADS: Final = 8
_LINE: Final = "{:<14} {:<10} {:>6} {:>8} {:>5} {:>10} {:>9} {:>7} {:>9}  {}"


@dataclass(frozen=True)
class Reference:
    """The job without a fault."""

    model: str
    calls: int
    program: bytes | None


@dataclass(frozen=True)
class Hit:
    """What a kill hit."""

    at_calls: int
    """Requests that had come."""
    open_calls: int
    in_flight: int
    killed_at: float
    """Wall clock."""


def main() -> None:
    """Kill, compare, print; exit code 1 when a target is missed."""
    options = _parse()
    print_machine(f"Killed and resumed: {options.latency_ms:g} ms latency, 8 threads, rows with repeats among them")
    sys.exit(asyncio.run(_measure(options)))


async def _measure(options: argparse.Namespace) -> int:
    missed = 0
    names = ("calls", "at call", "open", "in flight", "repeated", "back s", "attempts", "program")
    print(_LINE.format("optimizer", "killed", *names))
    async with observed_jobs(latency_seconds=options.latency_ms / 1000) as jobs:
        await jobs.stage.two_workers()
        for search in searches(options.optimizer, resumable_only=True):
            for _ in range(options.rounds):
                missed += await _kill_all_ways(jobs, search)
    print(f"{missed} targets missed" if missed else "every target met")
    return 1 if missed else 0


async def _kill_all_ways(jobs: ObservedJobs, search: Search) -> int:
    reference = await _reference(jobs, search)
    kills = [await _round(jobs, search, reference, share, _kill_worker, "worker") for share in WORKER_SHARES]
    kills.append(await _round(jobs, search, reference, RUNNER_SHARE, _kill_runner, "runner"))
    return sum(kills)


async def _reference(jobs: ObservedJobs, search: Search) -> Reference:
    observed = await jobs.submit(search)
    job = await jobs.until_ended(observed)
    if job.status is not JobStatus.SUCCESS or job.attempt != 1:
        raise SystemExit(f"The reference of {search.name} ended {job.status} ({job.message}), attempt {job.attempt}.")
    calls = len(jobs.log.calls(observed.model))
    print(_LINE.format(search.name, "-", calls, "-", "-", "-", "-", "-", job.attempt, "-"), flush=True)
    return Reference(observed.model, calls, await jobs.program(job))


_Kill = Callable[[ObservedJobs, Observed], Awaitable[Hit]]


async def _round(
    jobs: ObservedJobs, search: Search, reference: Reference, share: float, kill: _Kill, whom: str
) -> bool:
    """Kill once; return whether a target was missed."""
    observed = await jobs.submit(search)
    label = f"{whom} {share:.0%}"
    if not await jobs.until_answered(observed, int(share * reference.calls)):
        print(_LINE.format(search.name, label, "-", "-", "-", "-", "-", "-", "-", "it ended before"), flush=True)
        return True
    hit = await kill(jobs, observed)
    job = await jobs.until_ended(observed)
    repeated = jobs.log.repeated(observed.model, reference.model)
    is_same = await jobs.program(job) == reference.program
    may_repeat = 0 if kill is _kill_runner else hit.in_flight
    is_missed = repeated > may_repeat or hit.in_flight > THREADS or not is_same
    told = "identical" if is_same else f"DIFFERENT ({job.status}, {job.message})"
    print(
        _LINE.format(
            search.name,
            label,
            len(jobs.log.calls(observed.model)),
            hit.at_calls,
            hit.open_calls,
            hit.in_flight,
            repeated,
            f"{await _away_seconds(jobs, observed, hit):.1f}",
            job.attempt,
            told + (" MISSED" if is_missed else ""),
        ),
        flush=True,
    )
    return is_missed


async def _kill_worker(jobs: ObservedJobs, observed: Observed) -> Hit:
    """Kill the process group of the worker that has the job; another one stands ready, and a new one is started."""
    holder = await jobs.stage.holder(observed.job_id)
    holder.family()
    hit = await _hit(jobs, observed, lambda: os.killpg(holder.pid, signal.SIGKILL))
    await asyncio.to_thread(holder.end)
    jobs.stage.workers.remove(holder)
    await jobs.stage.worker()
    return hit


async def _kill_runner(jobs: ObservedJobs, observed: Observed) -> Hit:
    """Kill the runner, wait until its job has failed, and ask for a retry."""
    stage = jobs.stage
    holder = await stage.holder(observed.job_id)
    hit = await _hit(jobs, observed, lambda: holder.send(signal.SIGKILL, holder.runners()))
    failed = await stage.until(observed.job_id, lambda job: job.status.is_terminal)
    if failed.status is not JobStatus.FAILED:
        raise SystemExit(f"A job whose runner was killed is {failed.status}.")
    await retry(
        failed.job_id, tenant=failed.tenant, jobs=stage.jobs, artifacts=stage.artifacts, secret_key=SECRET_KEY.encode()
    )
    return hit


async def _hit(jobs: ObservedJobs, observed: Observed, kill: Callable[[], None]) -> Hit:
    began, killed_at = time.monotonic(), time.time()
    kill()
    await asyncio.sleep(ARRIVING_SECONDS)
    kept, _ = await jobs.stage.jobs.answers(observed.job_id)
    calls = jobs.log.calls(observed.model)
    return Hit(len(calls), open_since(calls, began), len(calls) - kept, killed_at)


async def _away_seconds(jobs: ObservedJobs, observed: Observed, hit: Hit) -> float:
    """Return how long the job had no worker: from the kill to the next claim, on the machine's one clock."""
    claims = [event for event in await jobs.states(observed) if event.data["status"] == JobStatus.VALIDATING]
    return claims[-1].timestamp.timestamp() - hit.killed_at


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.resume", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--latency-ms", type=float, default=20.0, help="of the language model, on average (default 20)")
    parser.add_argument("--rounds", type=int, default=1, help="repetitions of everything (default 1)")
    parser.add_argument("--optimizer", action="append", help="only this one; may be repeated (default: all)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
