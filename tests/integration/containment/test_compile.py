"""Every optimizer does inside exactly what it does outside."""

import sys
from functools import cache

import pytest

from dspy_service.domain.catalogue.registry import Registry
from tests.integration.runner.session import Report, run_job
from tests.integration.runner.test_optimizers import SPECS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has Landlock and seccomp")


def test_the_catalogue_holds_no_other_optimizer() -> None:
    assert set(SPECS) == set(Registry().optimizer_names)


@pytest.mark.parametrize("threads", [4, 32])
@pytest.mark.parametrize("name", SPECS)
def test_an_optimizer_completes_at_level_two(name: str, threads: int) -> None:
    report = _inside(name, threads)

    assert report.result["optimized_test_metric"] is not None
    assert report.file("program.pkl")
    assert report.of("ready")[0]["applied"]["seccomp"] == 2
    assert _complaints(report) == []


@pytest.mark.parametrize("name", ["miprov2", "gepa"])
def test_confinement_changes_no_program(name: str) -> None:
    outside = run_job(SPECS[name], level="L1")

    assert _inside(name, 4).file("program.json") == outside.file("program.json")


@cache
def _inside(name: str, threads: int) -> Report:
    """Run the job of an optimizer once for all tests that look at it."""
    return run_job(SPECS[name], threads=threads, level="L2")


def _complaints(report: Report) -> list[str]:
    """Return what was logged about a refusal of the kernel."""
    messages = [str(entry["message"]) for entry in report.events("log")]
    return [message for message in messages if "not permitted" in message or "Permission denied" in message]
