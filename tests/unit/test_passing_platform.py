"""The sample job runs where only the weakest confinement exists; nothing else does, unless it was asked for."""

from dspy_service.config import Settings
from dspy_service.up.passing import sample_level


def test_the_sample_job_needs_level_two_on_linux() -> None:
    assert sample_level(Settings(), "linux") == "L2"


def test_the_sample_job_runs_at_level_one_where_nothing_else_exists() -> None:
    assert sample_level(Settings(), "darwin") == "L1"


def test_a_level_that_was_set_holds_everywhere() -> None:
    assert sample_level(Settings(sandbox_min_level="L2"), "darwin") == "L2"
