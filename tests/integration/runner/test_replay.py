"""A second attempt that gets the answers of the first again: the same program, fast, and an honest estimate."""

import json
import random
import time
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from dspy_service.domain.frames import Frame
from tests.integration.runner import scripted
from tests.integration.runner.session import FEEDBACK_METRIC, TERMINAL, Report, body, good, run_job, session
from tests.integration.runner.specs import SPECS, TAKES_VALSET

MANY = {"rows": 60, "threads": 8}
LATENCY_SECONDS = 0.04
SLACK_SECONDS = 0.3  # of a run of some seconds: other processes share the machine
MAX_REPLAY_SECONDS = 2.5  # on a quiet machine; on any, not much longer than a run whose models answer at once

LONG: dict[str, dict[str, Any]] = {
    "bootstrap_few_shot_with_random_search": {
        **SPECS["bootstrap_few_shot_with_random_search"],
        "optimizer_kwargs": {"max_bootstrapped_demos": 3, "max_labeled_demos": 2, "num_candidate_programs": 12},
    },
    "miprov2": {**SPECS["miprov2"], "split_fractions": {"train": 0.3, "val": 0.4, "test": 0.3}},
    "gepa": {**SPECS["gepa"], "optimizer_kwargs": {"max_metric_calls": 250}},
}


class Ledger:
    """Answers like a broker whose journal has the first ``share`` of what an earlier attempt asked."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.share = 0.0

    def __call__(self, frame: Frame) -> dict[str, Any]:
        known = list(self.answers)[: int(self.share * len(self.answers))]
        replayed = _question(frame) in known
        answer = self.answers.setdefault(_question(frame), good(frame))
        return {**answer, "replayed": replayed}


def _question(frame: Frame) -> str:
    return json.dumps([frame[name] for name in ("role", "request", "rollout_id", "candidate")], sort_keys=True)


def _timed_job(name: str, ledger: Ledger) -> tuple[Report, float]:
    """Run a job to its end; return what the runner said, and the seconds from its order on."""
    with session(answer=ledger) as runner:
        runner.until("ready")
        began = time.monotonic()
        runner.order(LONG[name], scripted.rows(60), roles=["task", "prompt", "reflection"], threads=8)
        return runner.until(*TERMINAL), time.monotonic() - began


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_a_replay_of_everything_is_fast_and_ends_with_the_same_program(name: str) -> None:
    ledger = Ledger()
    first, live_seconds = _timed_job(name, ledger)
    asked = len(ledger.answers)
    ledger.share = 1.0
    again, seconds = _timed_job(name, ledger)

    assert asked > 150
    assert len(ledger.answers) == asked
    assert again.state() == first.state()
    assert again.result["details"]["model_calls"]["task"]["replayed"] == len(
        [frame for frame in again.of("lm") if frame["role"] == "task"]
    )
    assert seconds < max(MAX_REPLAY_SECONDS, 1.5 * live_seconds)


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_the_estimate_does_not_take_replayed_answers_for_the_pace(name: str) -> None:
    ledger = Ledger()
    run_job(LONG[name], answer=ledger, **MANY)
    ledger.share = 0.5

    report = run_job(LONG[name], answer=ledger, latency_seconds=LATENCY_SECONDS, **MANY)

    told = _told(report)
    assert len(told) >= 3
    for left, eta in told:
        assert left / 2 - SLACK_SECONDS <= eta <= left * 2 + SLACK_SECONDS


def test_a_job_whose_answers_are_all_replayed_ends_at_a_hundred_percent() -> None:
    ledger = Ledger()
    run_job(SPECS["labeled_few_shot"], answer=ledger)
    ledger.share = 1.0

    report = run_job(SPECS["labeled_few_shot"], answer=ledger)

    assert report.events("progress")[-1]["metrics"]["percent"] == 100.0


def test_submitted_code_draws_the_same_numbers_in_every_attempt() -> None:
    code = (
        "import random\nimport numpy\n\nprint('drawn', random.random(), numpy.random.rand())\n\n"
        "def metric(gold, pred, trace=None):\n    return 1.0\n"
    )
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002  # what the job's code draws from

    report = run_job(body("labeled_few_shot", metric_code=code))

    printed = [entry["message"] for entry in report.events("log") if entry["logger"] == "stdout"]
    assert printed == [f"drawn {random.random()} {np.random.rand()}"]  # noqa: NPY002, S311  # the same as above


def test_the_figures_say_that_they_are_of_one_attempt() -> None:
    report = run_job(body("gepa", metric_code=FEEDBACK_METRIC, **_GEPA))

    assert report.result["details"]["metric_calls_of"] == "the last attempt"


_GEPA = {
    "optimizer_kwargs": {"max_metric_calls": 20},
    "reflection_model_config": {"name": "openai/scripted"},
}


def _told(report: Report) -> list[tuple[float, float]]:
    """Return the real and the estimated seconds to the end, of the later two thirds of the time after the replay."""
    events = [event for event in report.of("event") if event["type"] == "progress"]
    times = [datetime.fromisoformat(event["occurred_at"]).timestamp() for event in events]
    last = times[-1]
    first = next(at for at, event in zip(times, events, strict=True) if event["eta_seconds"] is not None)
    return [
        (last - now, float(event["eta_seconds"]))
        for now, event in zip(times, events, strict=True)
        if now - first >= (last - first) / 3 and event["eta_seconds"] is not None
    ]
