"""What goes wrong in submitted code ends the job with the user's own traceback, and never as a silent zero."""

import json
from typing import Any

import pytest

from tests.integration.runner.session import (
    FEEDBACK_METRIC,
    METRIC,
    Answerer,
    Report,
    body,
    broken,
    good,
    run_job,
)

FAILING_METRIC = """
def metric(gold, pred, trace=None):
    return _helper(gold)

def _helper(gold):
    return gold.labell == 1
"""

LATE_METRIC = """
calls = 0

def metric(gold, pred, trace=None):
    global calls
    calls += 1
    if calls > 12:
        raise ValueError("too late for row " + gold.text)
    return 1.0
"""


def _labeled(metric_code: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    return body("labeled_few_shot", metric_code=metric_code, **changes)


def test_a_metric_that_always_raises_fails_the_job_with_its_own_lines() -> None:
    report = run_job(_labeled(FAILING_METRIC))

    failure = report.failure
    assert failure["kind"] == "metric_error"
    assert "The metric metric failed: AttributeError" in failure["message"]
    assert "\n" not in failure["message"]
    assert 'File "<metric_code>", line 3, in metric\n    return _helper(gold)' in failure["traceback"]
    assert "gold.labell == 1" in failure["traceback"]
    assert "/" not in failure["traceback"].replace("dspy/primitives/example.py", "")
    assert not report.events("log"), "the supervisor logs the failure, once"
    assert not report.of("status"), "a broken metric is found while validating"


@pytest.mark.parametrize("optimizer", ["miprov2", "bootstrap_few_shot_with_random_search"])
def test_a_metric_that_breaks_on_most_rows_later_ends_the_job(optimizer: str) -> None:
    report = run_job(body(optimizer, metric_code=LATE_METRIC), threads=2)

    assert report.failure["kind"] == "metric_error"
    assert "too late for row" in report.failure["traceback"]
    assert report.of("status")
    assert report.of("failure")[0]["partial"]["baseline_test_metric"] == 1.0


@pytest.mark.parametrize(
    ("returned", "named"),
    [
        ("None", "None"),
        ("'good'", "a str"),
        ("{'points': 1}", "a dict"),
        ("dspy.Prediction(feedback='x')", "a Prediction"),
        ("float('nan')", "nan"),
        ("float('inf')", "inf"),
    ],
)
def test_a_metric_that_returns_no_score_is_named(returned: str, named: str) -> None:
    report = run_job(_labeled(f"def metric(gold, pred, trace=None):\n    return {returned}\n"))

    assert report.failure["kind"] == "metric_error"
    assert f"metric returned {named}; return a" in report.failure["message"]


@pytest.mark.parametrize("optimizer", ["bootstrap_few_shot", "gepa"])
@pytest.mark.parametrize(
    "returned",
    ["right", "int(right)", "{'score': float(right), 'feedback': 'f'}", "dspy.Prediction(score=right, feedback='f')"],
)
def test_every_way_to_return_a_score_gives_the_same_measurement(optimizer: str, returned: str) -> None:
    code = (
        "def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):\n"
        f"    right = gold.label == pred.label\n    return {returned}\n"
    )
    more = {"reflection_model_config": {"name": "m"}, "optimizer_kwargs": {"max_metric_calls": 20}}

    report = run_job(body(optimizer, metric_code=code, **(more if optimizer == "gepa" else {})))

    assert report.result["baseline_test_metric"] == 0.5
    assert report.result["details"]["metric_errors"] == 0


def test_a_score_of_zero_in_a_prediction_bootstraps_no_demo() -> None:
    code = "def metric(gold, pred, trace=None):\n    return dspy.Prediction(score=0.0, feedback='wrong')\n"

    report = run_job(body("bootstrap_few_shot", metric_code=code, optimizer_kwargs={"max_labeled_demos": 0}))

    state = json.loads(report.file("program.json"))
    assert state["demos"] == []


@pytest.mark.parametrize("kind", ["auth", "unsupported_model", "transport", "a_kind_of_the_future"])
def test_a_model_that_always_fails_fails_the_job(kind: str) -> None:
    report = run_job(_labeled(METRIC), answer=broken(kind))

    assert report.failure["kind"] == "model_error"
    assert "no such key" in report.failure["message"]
    assert not report.of("result")


def test_a_model_that_breaks_during_the_compile_fails_the_job() -> None:
    report = run_job(body("miprov2"), answer=_good_for(12, then=broken("billing")))

    assert report.failure["kind"] == "model_error"
    assert "calls to the task model failed" in report.failure["message"]
    assert "The provider's account has no credit left." in report.failure["message"]


def test_a_reflection_model_that_always_fails_fails_the_job() -> None:
    def answer(frame: dict[str, Any]) -> dict[str, Any]:
        return broken("auth")(frame) if frame["role"] == "reflection" else good(frame)

    spec = body(
        "gepa",
        metric_code=FEEDBACK_METRIC,
        optimizer_kwargs={"max_metric_calls": 200},
        reflection_model_config={"name": "m"},
    )

    report = run_job(spec, answer=answer)

    assert report.failure["kind"] == "model_error"


def test_a_spent_budget_ends_the_job_at_once() -> None:
    report = run_job(body("miprov2"), answer=_good_for(10, then=broken("budget_exhausted")), threads=1)

    assert report.failure["kind"] == "budget_exhausted"
    assert len(report.of("lm")) == 11


def test_a_few_failing_calls_only_cost_their_rows() -> None:
    counted = iter(range(10_000))

    def answer(frame: dict[str, Any]) -> dict[str, Any]:
        return broken("server")(frame) if next(counted) in (3, 5) else good(frame)

    report = run_job(_labeled(METRIC), answer=answer)

    assert report.result["details"]["model_calls"]["task"]["failed"] == 2


def test_an_unreadable_answer_is_warned_about_and_scores_zero() -> None:
    def answer(frame: dict[str, Any]) -> dict[str, Any]:
        response = good(frame)["response"]
        response["message"]["parts"] = [{"type": "text", "text": "I would rather not."}]
        return {"response": response}

    report = run_job(_labeled(METRIC), answer=answer)

    assert report.result["baseline_test_metric"] == 0.0
    assert {"unparsable_answer", "no_answers"} <= {data["code"] for data in report.events("warning")}


def test_a_metric_that_ends_the_process_leaves_a_closed_socket() -> None:
    code = "import os\n\ndef metric(gold, pred, trace=None):\n    os._exit(9)\n"

    report = run_job(_labeled(code))

    assert report.exit_code == 9
    assert not report.of("failure")


def test_a_metric_that_calls_exit_fails_the_job() -> None:
    code = "import sys\n\ndef metric(gold, pred, trace=None):\n    sys.exit('bye')\n"

    report = run_job(_labeled(code))

    assert report.failure["kind"] == "metric_error"
    assert "SystemExit: bye" in report.failure["message"]


def test_a_signature_that_raises_fails_the_job_with_its_line() -> None:
    code = "import not_installed_anywhere\n\nclass S(dspy.Signature):\n    text: str = dspy.InputField()\n"
    code += "    label: str = dspy.OutputField()\n"

    report = run_job(_labeled(METRIC, signature_code=code))

    assert report.failure["kind"] == "signature_error"
    assert "ModuleNotFoundError" in report.failure["message"]
    assert 'File "<signature_code>", line 1' in report.failure["traceback"]


def test_an_option_that_no_model_takes_is_named() -> None:
    report = run_job(_labeled(METRIC, module_kwargs={"no_such_option": 1}))

    assert report.failure["kind"] == "model_error"
    assert "no_such_option" in report.failure["message"]


def test_a_cancel_ends_the_compile_with_what_is_known() -> None:
    def enough(report: Report) -> bool:
        return len(report.of("lm")) == 20

    report = run_job(body("miprov2"), stop=enough)

    assert report.failure["kind"] == "cancelled"
    assert report.of("failure")[0]["partial"]["split_counts"]["train"] == 8
    assert len(report.of("lm")) <= 20 + 4


def test_a_cancel_reaches_a_metric_that_asks_no_model() -> None:
    code = "import time\n\ndef metric(gold, pred, trace=None):\n    time.sleep(0.05)\n    return 1.0\n"

    report = run_job(
        body("bootstrap_few_shot_with_random_search", metric_code=code),
        rows=60,
        stop=lambda report: bool(report.progress("baseline_progress")),
    )

    assert report.failure["kind"] == "cancelled"


def _good_for(calls: int, *, then: Answerer) -> Answerer:
    counted = iter(range(1_000_000))
    return lambda frame: good(frame) if next(counted) < calls else then(frame)
