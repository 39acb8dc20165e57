"""The benchmarks' arithmetic, and that each says how it is used."""

import subprocess
import sys

import pytest

from benchmarks.support.figures import median_interval, percentile
from tests.support.payloads import ROOT


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: int) -> None:
    values = [float(value) for value in range(100, 0, -1)]

    assert percentile(values, percent) == expected


def test_a_single_value_is_every_percentile() -> None:
    assert percentile([3.0], 1) == percentile([3.0], 99) == 3.0


def test_the_median_lies_in_its_interval_and_is_reproducible() -> None:
    values = [0.9, 1.1, 1.0, 0.95, 1.05, 1.4]

    middle, low, high = median_interval(values)

    assert low <= middle <= high
    assert (low, high) != (middle, middle)
    assert median_interval(values) == (middle, low, high)


@pytest.mark.parametrize("name", ["submit_latency", "compile_overhead", "job_list", "resume", "cancel", "budget"])
def test_a_benchmark_says_how_it_is_used(name: str) -> None:
    done = subprocess.run(  # noqa: S603  # our own module
        [sys.executable, "-m", f"benchmarks.{name}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert f"python -m benchmarks.{name}" in done.stdout
