"""What confinement (sandbox level L2) costs, against an unconfined runner (L1) in alternating pairs.

1. Cold start: from the launch of a process to its ``ready``, everything imported, confined and warmed up.
2. A whole job with a MIPROv2 (light) compile, from its order to its result. The model is a script that answers over
   the runner's socket after a fixed latency.

Only the runner is measured; its supervisor here does nothing but answer.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable

from benchmarks.support.figures import median_interval, print_machine
from dspy_service.domain.workers import SandboxLevel
from tests.integration.runner import scripted
from tests.integration.runner.session import TERMINAL, body, session
from workers.sandbox.levels import best_level

ROLES = ["task", "prompt"]
ROWS = 150
SPLIT = {"train": 0.3, "val": 0.4, "test": 0.3}
CONFINED: SandboxLevel = "L2"
UNCONFINED: SandboxLevel = "L1"


def main() -> None:
    """Measure and print both figures."""
    options = _parse()
    print_machine("Confinement: L2 against L1")
    offer = best_level(environ=os.environ)
    if offer.level != CONFINED:
        raise SystemExit(f"This machine offers {offer.level} only. {' '.join(offer.missing)}")
    print("\nCold start, milliseconds until ready")
    _pairs(options.starts, _cold_start_ms, unit="ms")
    print("\nThe same, milliseconds of processor time, which other work on the machine disturbs less")
    _pairs(options.starts, _cold_start_cpu_ms, unit="ms")
    print(
        f"\nCompile: MIPROv2 light, {ROWS} rows, {options.threads} threads, {options.latency_ms:g} ms latency, seconds"
    )
    _pairs(options.pairs, lambda level: _compile_seconds(level, options.threads, options.latency_ms / 1000), unit="s")


def _pairs(count: int, measure: Callable[[SandboxLevel], float], *, unit: str) -> None:
    """Measure both sides in turn, after one of each that does not count, and print how they differ."""
    measure(UNCONFINED)
    measure(CONFINED)
    confined, unconfined = [], []
    print(f"{'pair':>5} {'L1':>9} {'L2':>9} {'difference':>11} {'ratio':>7}")
    for number in range(count):
        first, second = (CONFINED, UNCONFINED) if number % 2 else (UNCONFINED, CONFINED)
        found = {level: measure(level) for level in (first, second)}
        confined.append(found[CONFINED])
        unconfined.append(found[UNCONFINED])
        difference, ratio = confined[-1] - unconfined[-1], confined[-1] / unconfined[-1]
        print(
            f"{number + 1:>5} {unconfined[-1]:>9.3f} {confined[-1]:>9.3f} {difference:>11.3f} {ratio:>7.3f}", flush=True
        )
    sides = f"L1 {statistics.median(unconfined):.3f} {unit}, L2 {statistics.median(confined):.3f} {unit}"
    print(f"  medians: {sides}, {count} pairs")
    _print_interval("L2 - L1", [c - u for c, u in zip(confined, unconfined, strict=True)], unit)
    _print_interval("L2 / L1", [c / u for c, u in zip(confined, unconfined, strict=True)], "")


def _print_interval(name: str, values: list[float], unit: str) -> None:
    middle, low, high = median_interval(values)
    print(f"  {name}: median {middle:.3f} {unit}, 95 % interval {low:.3f} to {high:.3f}")


def _cold_start_ms(level: SandboxLevel) -> float:
    began = time.perf_counter()
    with session(level=level) as runner:
        runner.until("ready")
        return 1000 * (time.perf_counter() - began)


def _cold_start_cpu_ms(level: SandboxLevel) -> float:
    before = _children_cpu_seconds()
    _cold_start_ms(level)
    return 1000 * (_children_cpu_seconds() - before)


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of those that have been collected
    return used.ru_utime + used.ru_stime


def _compile_seconds(level: SandboxLevel, threads: int, latency_seconds: float) -> float:
    spec = body("miprov2", module_name="cot", split_fractions=SPLIT)
    with session(level=level, latency_seconds=latency_seconds) as runner:
        runner.until("ready")
        began = time.perf_counter()
        runner.order(spec, scripted.rows(ROWS), roles=ROLES, threads=threads)
        report = runner.until(*TERMINAL)
        seconds = time.perf_counter() - began
    if not report.of("result"):
        raise SystemExit(f"The compile failed: {report.failure}")
    return seconds


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.confinement", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=20, help="pairs of cold starts (default 20)")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of compiles (default 10)")
    parser.add_argument("--threads", type=int, default=8, help="of the compile (default 8)")
    parser.add_argument("--latency-ms", type=float, default=20.0, help="of the model (default 20)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
