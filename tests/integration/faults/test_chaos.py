"""Case 15: everything at random; ``benchmarks/chaos.py`` does the same for as long as you like."""

import pytest

from benchmarks.chaos import print_report
from benchmarks.support.chaos_run import run_chaos
from tests.support.faults.platform_marks import on_linux

pytestmark = [pytest.mark.slow, on_linux, pytest.mark.timeout(240)]

SECONDS = 30
SEED = 15


async def test_half_a_minute_of_chaos_violate_nothing() -> None:
    report = await run_chaos(seconds=SECONDS, seed=SEED)

    print_report(report)
    assert report.violations == []
    assert report.troubles.total() >= 5
    assert len(report.attempts) >= 5
