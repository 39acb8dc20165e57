"""What the service adds to a compile, and how well it keeps the language model busy.

1. The same job through the service and in plain in-process DSPy, in alternating pairs against one loopback
   OpenAI-compatible server. The ratio is that of the time in baseline, compile and final evaluation together; the
   fixed overhead is what a service job takes from submit to end on top of them (process, queue, files).
2. Utilisation of an evaluation: calls x latency / (concurrency x wall).

Both sides use the same rows, split, metric, seed and threads, each in a process of its own per job that is warm
(imports, connection) before it starts. A pause before each run lets the service prepare its next runner.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.support.figures import median_interval, print_machine
from benchmarks.support.measured_platform import ROOT, measured_platform
from benchmarks.support.workload import WARM_CALLS, Workload, compile_workload, evaluation_workload
from dspy_service.client import Client
from tests.support.openai_server import OpenAIServer

JOB_SECONDS = 300.0
SETTLE_SECONDS = 6.0  # the service warms the next runner after each job; that must disturb neither side
PHASES = ("baseline", "compile", "optimized")


@dataclass(frozen=True)
class Run:
    """One job on one side."""

    phase_seconds: dict[str, float]
    total_seconds: float
    calls: int
    """Requests that reached the server."""
    program: Any

    @property
    def work_seconds(self) -> float:
        """Time in the three phases that both sides share."""
        return sum(self.phase_seconds[name] for name in PHASES)


def main() -> None:
    """Measure and print both figures."""
    options = _parse()
    print_machine("Compile through the service and in plain DSPy")
    if options.pairs:
        compare(options)
    if not options.skip_utilisation:
        utilisation(threads=options.evaluation_threads, latency_seconds=options.evaluation_latency_ms / 1000)


def compare(options: argparse.Namespace) -> None:
    """Run alternating pairs and print their ratio."""
    latency_seconds = options.latency_ms / 1000
    workload = compile_workload(options.rows, latency_seconds=latency_seconds)
    print(
        f"\n{workload.name}, {len(workload.body['dataset'])} rows, MIPROv2 light, "
        f"{options.latency_ms:g} ms latency, {options.threads} threads"
    )
    print(f"{'pair':>5} {'plain s':>9} {'service s':>10} {'ratio':>7} {'fixed s':>8} {'calls':>11} program")
    ratios, compile_ratios, fixed = [], [], []
    with OpenAIServer(workload.script) as server, _platform(options.threads) as client:
        service_run(client, server, workload)  # warm: the standby runner of the next job is there
        for number in range(options.pairs):
            order = (True, False) if number % 2 else (False, True)
            runs = {is_service: _one(is_service, client, server, workload, options.threads) for is_service in order}
            plain, service = runs[False], runs[True]
            ratios.append(service.work_seconds / plain.work_seconds)
            compile_ratios.append(service.phase_seconds["compile"] / plain.phase_seconds["compile"])
            fixed.append(service.total_seconds - service.work_seconds)
            same = "same" if service.program == plain.program else "DIFFERENT"
            print(
                f"{number + 1:>5} {plain.work_seconds:>9.3f} {service.work_seconds:>10.3f} {ratios[-1]:>7.3f} "
                f"{fixed[-1]:>8.3f} {plain.calls:>5}/{service.calls:<5} {same}",
                flush=True,
            )
    for name, values in (("service / plain", ratios), ("of compile alone", compile_ratios)):
        middle, low, high = median_interval(values)
        print(f"{name:>16}: median {middle:.3f}, 95 % interval {low:.3f} to {high:.3f}, {len(values)} pairs")
    print(f"{'fixed overhead':>16}: median {statistics.median(fixed):.3f} s")


def utilisation(*, threads: int, latency_seconds: float) -> None:
    """Evaluate many rows on both sides and print how busy the model was kept."""
    workload = evaluation_workload(latency_seconds=latency_seconds)
    print(f"\nEvaluation with {threads} threads and {1000 * latency_seconds:g} ms latency")
    with OpenAIServer(workload.script) as server:
        runs = {"plain": plain_run(server, workload, threads)}
        with _platform(threads) as client:
            time.sleep(SETTLE_SECONDS)
            runs["service"] = service_run(client, server, workload)
    for name, run in runs.items():
        wall = run.phase_seconds["baseline"] + run.phase_seconds["optimized"]
        share = run.calls * latency_seconds / (threads * wall)
        print(f"{name:>8}: {run.calls} calls in {wall:.2f} s, utilisation {share:.3f}")


def service_run(client: Client, server: OpenAIServer, workload: Workload) -> Run:
    """Run the job through the service and wait for its end."""
    before = len(server.received)
    started = time.perf_counter()
    job = client.submit_payload(workload.request(server.base_url))
    done = client.wait(job.job_id, poll_seconds=0.02, timeout_seconds=JOB_SECONDS, raise_on_failure=True)
    total_seconds = time.perf_counter() - started
    if done.result is None:
        message = f"Job {job.job_id} has no result."
        raise SystemExit(message)
    phases: Any = done.result.details["phase_seconds"]
    program = done.result.optimization_metadata["winning_prompts"]
    return Run(phases, total_seconds, len(server.received) - before, program)


def plain_run(server: OpenAIServer, workload: Workload, threads: int) -> Run:
    """Run the job in a process with nothing but DSPy; its start and imports are not counted."""
    before = len(server.received)
    done = subprocess.run(  # noqa: S603  # our own module
        [sys.executable, "-m", "benchmarks.support.plain_dspy", "--threads", str(threads)],
        input=json.dumps(workload.request(server.base_url)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=JOB_SECONDS,
        check=False,
    )
    if done.returncode:
        message = f"The plain side failed:\n{done.stderr[-3000:]}"
        raise SystemExit(message)
    measured = json.loads(done.stdout)
    return Run(**measured, calls=len(server.received) - before - WARM_CALLS)


def _one(is_service: bool, client: Client, server: OpenAIServer, workload: Workload, threads: int) -> Run:  # noqa: FBT001  # the key of the pair
    time.sleep(SETTLE_SECONDS)
    return service_run(client, server, workload) if is_service else plain_run(server, workload, threads)


@contextlib.contextmanager
def _platform(threads: int) -> Iterator[Client]:
    settings = {"DSPY_SERVICE_EVAL_THREADS": str(threads), "DSPY_SERVICE_WORKER_CONCURRENCY": "1"}
    with measured_platform(settings=settings) as base_url, Client(base_url) as client:
        yield client


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compile_overhead", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10, help="pairs of runs (default 10; 0 skips the comparison)")
    parser.add_argument(
        "--rows", choices=("auto", "gsm8k", "tickets"), default="auto", help="auto: GSM8K if it is there"
    )
    parser.add_argument("--latency-ms", type=float, default=50.0, help="of the compile's model (default 50)")
    parser.add_argument("--threads", type=int, default=8, help="of the compile (default 8)")
    parser.add_argument("--skip-utilisation", action="store_true", help="only the comparison")
    parser.add_argument("--evaluation-threads", type=int, default=32, help="of the utilisation figure (default 32)")
    parser.add_argument("--evaluation-latency-ms", type=float, default=200.0, help="of its model (default 200)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
