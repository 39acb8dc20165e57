"""How far a job goes beyond its budget, for every optimizer and every bound, at several levels.

One job without a budget gives the figures of each optimizer; then every bound is set to shares of them. Calls, tokens
and money (priced by a MODELS_FILE) are counted at the language model's server, metric calls by the metric itself, which
prints a word each time. Running time begins when a runner has the job: here, when its first call arrives.

*Beyond* is what was used beyond the limit. *Calls* are those that were answered after the limit was reached, or, of
running time, that arrived after it; *in flight* are those that were open at the server at that moment. A call may be in
flight before it arrives there, so that the target is: never more calls than there are threads, 8. *Final* tells whether
the program was measured on the test rows: what the baseline cost is reserved for that.

A program must be there when the job has told of a checkpoint, or has ended well.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.support.figures import print_machine
from benchmarks.support.observed_jobs import Observed, ObservedJobs, observed_jobs
from benchmarks.support.searches import Search, searches
from benchmarks.support.spending import Overshoot, in_flight_at, models_file, overshoot, wall_clock_of
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job, JobStatus
from dspy_service.domain.origins import origin_of
from tests.support.payloads import FEEDBACK_METRIC, METRIC

THREADS: Final = 8
BOUNDS: Final = ("max_lm_calls", "max_tokens", "max_usd", "max_seconds", "max_metric_calls")
SHARES: Final = (0.3, 0.6, 0.9)
END_SECONDS: Final = 1.0  # to end a runner, and to store what it left
_MOST_JOBS: Final = 1000
_WORD: Final = "scored"
_UNITS: Final = {"max_usd": "{:.4f}", "max_seconds": "{:.1f}"}
_LINE: Final = "{:<14} {:<16} {:>5} {:>8} {:>8} {:>7} {:>5} {:>9}  {:<9} {:<16} {:<7} {}"


@dataclass(frozen=True)
class Outcome:
    """One job that has ended."""

    observed: Observed
    job: Job
    events: Sequence[Event]
    has_final: bool

    @property
    def metric_calls(self) -> int:
        """Calls of the metric between the baseline and the final evaluation."""
        told = [event.data.get("event") for event in self.events]
        if "baseline_evaluated" not in told:
            return 0
        optimizing = self.events[told.index("baseline_evaluated") :]
        lines = [str(event.data["message"]) for event in optimizing if event.type is EventType.LOG]
        final = next((event for event in optimizing if event.data.get("event") == "optimized_evaluated"), None)
        metrics = final.data["metrics"] if final is not None else {}
        final_calls = int(str(metrics["rows"])) if isinstance(metrics, dict) and metrics else 0
        return sum(line.count(_WORD) for line in lines) - final_calls

    @property
    def lacks_program(self) -> bool:
        """Whether it has no program although it should have one."""
        is_owed = self.job.status is JobStatus.SUCCESS or any(e.type is EventType.CHECKPOINT for e in self.events)
        return is_owed and not self.job.has_artifact


def main() -> None:
    """Bound, count, print; exit code 1 when a target is missed."""
    options = _parse()
    print_machine(f"Budgets: {options.latency_ms:g} ms latency, {THREADS} threads")
    sys.exit(asyncio.run(_measure(options)))


async def _measure(options: argparse.Namespace) -> int:
    missed = 0
    names = ("limit", "used", "beyond", "calls", "in flight", "status", "reason", "program", "final")
    print(_LINE.format("optimizer", "bound", "level", *names))
    async with observed_jobs(latency_seconds=options.latency_ms / 1000) as jobs:
        await _start_worker(jobs)
        for search in searches(options.optimizer):
            free = await _run(jobs, search)
            if free.job.status is not JobStatus.SUCCESS:
                raise SystemExit(f"The reference of {search.name} ended {free.job.status} ({free.job.message}).")
            for bound in options.bound or BOUNDS:
                whole = _used(jobs, free, bound, limit=0).used
                for share in SHARES:
                    missed += await _bounded(jobs, search, bound, share, whole)
    print(f"{missed} targets missed" if missed else "every target met")
    return 1 if missed else 0


async def _start_worker(jobs: ObservedJobs) -> None:
    """Start a worker that knows what every model of this run costs."""
    prices = jobs.stage.folder / "models.toml"
    origin = origin_of(jobs.stage.provider.base_url)
    prices.write_text(models_file([f"job-{number}" for number in range(1, _MOST_JOBS)], origin), encoding="utf-8")
    await jobs.stage.worker(MODELS_FILE=str(prices), LEASE_SECONDS="15", HEARTBEAT_SECONDS="1")


async def _run(jobs: ObservedJobs, search: Search, **budget: float) -> Outcome:
    metric = FEEDBACK_METRIC if search.entry.metric_style == "feedback" else METRIC
    head, _, rest = metric.strip().partition("\n")
    telling = f'{head}\n    print("{_WORD}\\n", end="")\n{rest}\n'
    observed = await jobs.submit(search, metric_code=telling, budget=budget or None)
    job = await jobs.until_ended(observed)
    result = await jobs.result(job)
    events = await jobs.stage.events(observed.job_id)
    return Outcome(observed, job, events, result.optimized_test_metric is not None)


async def _bounded(jobs: ObservedJobs, search: Search, bound: str, share: float, whole: float) -> bool:
    """Run one job within a share of what it would use, and return whether a target was missed."""
    if not whole:
        return False  # it never calls the metric while it compiles
    limit = share * whole if bound in _UNITS else max(1, int(share * whole))
    outcome = await _run(jobs, search, **{bound: limit})
    job, used = outcome.job, _used(jobs, outcome, bound, limit)
    slack = END_SECONDS if bound == "max_seconds" else 0
    is_beyond = bound in {"max_seconds", "max_metric_calls"} and used.used > limit + slack
    is_missed = used.calls > THREADS or outcome.lacks_program or is_beyond or job.termination_reason == "error"
    shown = _UNITS.get(bound, "{:.0f}")
    figures = (shown.format(limit), shown.format(used.used), shown.format(max(0.0, used.used - limit)))
    ends = (
        job.status,
        job.termination_reason,
        "yes" if job.has_artifact else "no",
        "yes" if outcome.has_final else "no",
    )
    line = _LINE.format(search.name, bound, f"{share:.0%}", *figures, used.calls, used.in_flight, *map(str, ends))
    print(line + (f" MISSED: {job.message}" if is_missed else ""), flush=True)
    return is_missed


def _used(jobs: ObservedJobs, outcome: Outcome, bound: str, limit: float) -> Overshoot:
    calls = jobs.log.calls(outcome.observed.model)
    if bound == "max_metric_calls":
        return Overshoot(outcome.metric_calls, 0, 0)
    if bound != "max_seconds":
        return overshoot(calls, bound, limit)
    began = min(call.arrived_at for call in calls)
    late = sum(call.arrived_at > began + limit for call in calls)
    ended_at = outcome.job.completed_at
    used = 0.0 if ended_at is None else ended_at.timestamp() - wall_clock_of(began)
    return Overshoot(used, late, in_flight_at(calls, began + limit))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.budget", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--latency-ms", type=float, default=20.0, help="of the language model, on average (default 20)")
    parser.add_argument("--optimizer", action="append", help="only this one; may be repeated (default: all)")
    parser.add_argument("--bound", action="append", choices=BOUNDS, help="only this one; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    main()
