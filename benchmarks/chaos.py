"""Whether jobs survive anything: three workers, an API and six users, while process, network and store break at random.

Workers, slots and runners are killed, frozen and told to end; the store is killed, restarted and frozen; connections
are reset, cut off, slowed down, and lose replies; doorbells are doubled. Users submit jobs of all optimizers, watch
them, and cancel, pause, resume and retry some. Then the history of every job is checked (``tests/support/faults``).
The exit code is 1 when anything is there that must never be.
"""

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path

from benchmarks.support.chaos_run import MAX_LOSSES, USERS, WORKERS, Report, run_chaos
from benchmarks.support.figures import percentile, print_machine
from tests.support.faults.stage import LEASE_SECONDS


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of trouble; some more until all jobs have ended")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", type=Path, help="file for what workers and API printed, when there is a violation")
    options = parser.parse_args()
    print_machine(
        f"Chaos for {options.minutes:g} minutes, seed {options.seed}: {WORKERS} workers, {USERS} users, "
        f"lease {LEASE_SECONDS:g} s, {MAX_LOSSES} losses end a job"
    )
    report = asyncio.run(run_chaos(seconds=60 * options.minutes, seed=options.seed))
    print_report(report)
    if options.logs is not None and report.logs:
        options.logs.write_text(report.logs, encoding="utf-8")
    sys.exit(1 if report.violations else 0)


def print_report(report: Report) -> None:
    """Print what happened, and what must not have happened."""
    jobs = len(report.attempts)
    print(f"  took        {report.seconds:.0f} s")
    print(f"  jobs        {jobs}: {_told(report.optimizers)}")
    print(f"  ends        {_told(report.ends)}")
    print(f"  attempts    {sum(report.attempts)}, most for one job {max(report.attempts, default=0)}")
    print(f"  losses      {report.losses}{_after(report.waits_after_loss)}")
    print(f"  troubles    {report.troubles.total()}: {_told(report.troubles)}")
    print(f"  users       {_told(report.deeds)}")
    print(f"  violations  {len(report.violations)}")
    for violation in report.violations:
        print(f"    {violation}")


def _after(waits: list[float]) -> str:
    if not waits:
        return ""
    return f"; claimed again after {percentile(waits, 50):.2f} s (p50), {max(waits):.2f} s (most)"


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


if __name__ == "__main__":
    main()
