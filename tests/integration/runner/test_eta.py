"""The time that is left, as a real compile tells it."""

from datetime import datetime
from typing import Any

import pytest

from tests.integration.runner.session import FEEDBACK_METRIC, Report, body, run_job

LATENCY_SECONDS = 0.04
SLACK_SECONDS = 0.3  # of a run of about three seconds: other processes share the machine

SPECS: dict[str, dict[str, Any]] = {
    "bootstrap_few_shot_with_random_search": body(
        "bootstrap_few_shot_with_random_search",
        optimizer_kwargs={"max_bootstrapped_demos": 3, "max_labeled_demos": 2, "num_candidate_programs": 6},
    ),
    "miprov2": body("miprov2"),
    "gepa": body(
        "gepa",
        metric_code=FEEDBACK_METRIC,
        optimizer_kwargs={"max_metric_calls": 200},
        reflection_model_config={"name": "openai/scripted"},
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_estimate_is_within_a_factor_of_two_after_a_third(name: str) -> None:
    report = run_job(SPECS[name], rows=60, threads=8, latency_seconds=LATENCY_SECONDS)

    told = _told(report)
    assert len(told) >= 3
    for left, eta in told:
        assert left / 2 - SLACK_SECONDS <= eta <= left * 2 + SLACK_SECONDS


def _told(report: Report) -> list[tuple[float, float]]:
    """Return the real and the estimated seconds to the end, of every progress event in the later two thirds."""
    events = report.of("event")
    times = [datetime.fromisoformat(event["occurred_at"]).timestamp() for event in events]
    first, last = times[0], times[-1]
    return [
        (last - now, float(event["eta_seconds"]))
        for now, event in zip(times, events, strict=True)
        if event["type"] == "progress" and now - first >= (last - first) / 3
    ]
