"""The benchmarks of kills, stops and budgets, in their smallest form: none of their targets is missed."""

import os
import subprocess
import sys

import pytest

from tests.support.payloads import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see which processes are whose"),
]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (("resume", "--optimizer", "labeled_few_shot"), 4),
        (("cancel", "--optimizer", "bootstrap_rs", "--cancels", "2", "--pause-seconds", "1"), 1),
        (("budget", "--optimizer", "labeled_few_shot", "--bound", "max_lm_calls"), 3),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else "",
)
def test_no_target_is_missed(arguments: tuple[str, ...], lines: int) -> None:
    done = subprocess.run(  # noqa: S603  # our own module
        [sys.executable, "-m", f"benchmarks.{arguments[0]}", *arguments[1:]],
        cwd=ROOT,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("identical") + done.stdout.count("budget_exhausted") == lines
    assert "every target met" in done.stdout
