"""A compile that ends early: what is enough, what is spent, and what the job still gives back."""

import json
from itertools import pairwise
from typing import Any

import dspy
import pytest

from dspy_service.domain.spec import SplitFractions
from dspy_service.domain.splits import split_rows
from tests.integration.runner import scripted
from tests.integration.runner.session import (
    FEEDBACK_METRIC,
    SIGNATURE,
    STOP,
    Answerer,
    Report,
    body,
    broken,
    good_until,
    run_job,
)
from tests.integration.runner.specs import SPECS, TAKES_VALSET

THREADS = 4
VAL_ROWS = 6
SPENT = broken("budget_exhausted", "40 of 40 calls are spent.")


def _spec(name: str, **budget: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    return {**SPECS[name], "budget": budget}


def _asked_in(report: Report, phase: str) -> int:
    """Return how many questions were asked for a phase; one of a stopped compile may come a little after its end."""
    return sum(frame["t"] == "lm" and frame["phase"] == phase for frame in report.frames)


def _evaluated_once(report: Report) -> bool:
    return bool(report.progress("new_best_score"))


def _spent_after_the_first_evaluation() -> Answerer:
    """Refuse in the compile once enough rows for a first full evaluation, and some more, were answered."""
    return good_until(4 * VAL_ROWS + 20, phase="compile", then=SPENT)


def _ended_early(report: Report, reason: str) -> None:
    """Check that a report is a success which keeps the best program, and tells why and how it ended early."""
    result = report.of("result")[0]
    assert result["reason"] == reason
    assert result["result"]["details"]["stopped"]["reason"] == reason
    assert report.progress("optimizer_stopped")[0]["reason"] == reason
    assert not report.progress("optimizer_finished")
    assert report.state() == report.state(checkpoint=report.of("checkpoint")[-1]["number"])
    assert report.result["optimization_metadata"]["best_valset_score"] == _best(report)
    assert report.result["optimized_test_metric"] is not None
    assert report.result["comparison"]["rows_used"] == VAL_ROWS


def _best(report: Report) -> float:
    return float(max(trial["score"] for trial in report.events("trial") if trial["kind"] == "full"))


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_a_spent_budget_keeps_the_best_program_and_still_measures_it(name: str) -> None:
    report = run_job(SPECS[name], threads=THREADS, answer=_spent_after_the_first_evaluation())

    _ended_early(report, "budget_exhausted")
    assert report.result["details"]["stopped"]["message"] == "40 of 40 calls are spent."
    assert _asked_in(report, "compile") <= 4 * VAL_ROWS + 20 + THREADS
    assert _asked_in(report, "final") == VAL_ROWS


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_a_stop_ends_the_compile_like_a_spent_budget(name: str) -> None:
    report = run_job(SPECS[name], threads=THREADS, stop=_evaluated_once, stop_frame=STOP)

    _ended_early(report, "budget_exhausted")
    assert "time is used up" in report.result["details"]["stopped"]["message"]


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_a_budget_of_metric_calls_bounds_the_compile_exactly(name: str) -> None:
    calls = 45
    report = run_job(_spec(name, max_metric_calls=calls), threads=THREADS)

    _ended_early(report, "budget_exhausted")
    assert report.result["details"]["metric_calls"] == VAL_ROWS + calls + VAL_ROWS


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_a_score_that_is_reached_ends_the_compile(name: str) -> None:
    report = run_job(_spec(name, stop_at_score=0.2), threads=THREADS)

    _ended_early(report, "target_reached")
    trials = [trial["score"] for trial in report.events("trial") if trial["kind"] == "full"]
    assert trials[-1] >= 0.2
    assert all(score < 0.2 for score in trials[:-1])


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_a_score_that_is_never_reached_changes_nothing(name: str) -> None:
    report = run_job(_spec(name, stop_at_score=1.1, patience=1000), threads=THREADS)

    assert report.of("result")[0]["reason"] == "completed"
    assert "stopped" not in report.result["details"]
    assert report.progress("optimizer_finished")


@pytest.mark.parametrize("name", ["bootstrap_few_shot_with_random_search", "miprov2"])
def test_patience_ends_a_compile_that_gets_no_better(name: str) -> None:
    report = run_job(_spec(name, patience=1), threads=THREADS)

    _ended_early(report, "no_improvement")
    scores = [trial["score"] for trial in report.events("trial") if trial["kind"] == "full"]
    assert scores[-1] <= max(scores[:-1])
    assert all(later > earlier for earlier, later in pairwise(scores[:-1]))


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_without_a_scored_program_a_spent_budget_fails_the_job(name: str) -> None:
    report = run_job(SPECS[name], threads=THREADS, answer=good_until(0, phase="compile", then=SPENT))

    assert report.failure["kind"] == "budget_exhausted"
    assert report.failure["message"] == ("40 of 40 calls are spent; no program was scored on the whole valset yet.")
    assert report.of("failure")[0]["partial"]["baseline_test_metric"] is not None
    assert not report.of("checkpoint")


@pytest.mark.parametrize("spent", ["answer", "stop", "metric calls"])
def test_an_optimizer_that_keeps_no_best_fails_when_it_is_stopped(spent: str) -> None:
    spec = _spec("bootstrap_few_shot", max_metric_calls=1) if spent == "metric calls" else SPECS["bootstrap_few_shot"]
    options: dict[str, dict[str, Any]] = {
        "answer": {"answer": good_until(1, phase="compile", then=SPENT)},
        "stop": {"stop": lambda report: _asked_in(report, "compile") > 0, "stop_frame": STOP},
        "metric calls": {},
    }

    report = run_job(spec, threads=THREADS, **options[spent])

    assert report.failure["kind"] == "budget_exhausted"
    assert "has no program before it has finished" in report.failure["message"]


def test_an_optimizer_that_asks_nothing_is_not_stopped() -> None:
    report = run_job(_spec("labeled_few_shot", max_metric_calls=1), answer=good_until(0, phase="compile", then=SPENT))

    assert report.of("result")[0]["reason"] == "completed"


@pytest.mark.parametrize("phase", [None, "baseline"])
def test_a_budget_that_ends_before_the_compile_fails_the_job(phase: str | None) -> None:
    report = run_job(SPECS["miprov2"], threads=THREADS, answer=good_until(0, phase=phase, then=SPENT))

    assert report.failure["kind"] == "budget_exhausted"
    assert report.failure["message"] == "40 of 40 calls are spent."
    assert _asked_in(report, "compile") == 0
    assert report.of("failure")[0]["partial"]["split_counts"]["train"] == 8


def test_a_stop_during_the_baseline_fails_the_job() -> None:
    report = run_job(
        SPECS["miprov2"],
        threads=1,
        stop=lambda report: _asked_in(report, "baseline") == 2,
        stop_frame=STOP,
    )

    assert report.failure["kind"] == "budget_exhausted"
    assert _asked_in(report, "compile") == 0


@pytest.mark.parametrize("name", SPECS)
def test_a_budget_that_ends_in_the_final_evaluation_leaves_the_program_unmeasured(name: str) -> None:
    report = run_job(SPECS[name], threads=THREADS, answer=good_until(2, phase="final", then=SPENT))

    assert report.of("result")[0]["reason"] == "budget_exhausted"
    assert report.result["optimized_test_metric"] is None
    assert report.result["comparison"] is None
    assert report.result["baseline_test_metric"] is not None
    assert report.file("program.pkl")
    assert "final_evaluation_skipped" in {data["code"] for data in report.events("warning")}


def test_a_stop_during_the_final_evaluation_comes_too_late_to_matter() -> None:
    report = run_job(
        SPECS["labeled_few_shot"],
        threads=1,
        stop=lambda report: _asked_in(report, "final") == 2,
        stop_frame=STOP,
    )

    assert report.of("result")[0]["reason"] == "completed"
    assert report.result["optimized_test_metric"] is not None


def test_a_stop_of_the_final_evaluation_keeps_a_program_that_nothing_else_has_kept() -> None:
    report = run_job(
        SPECS["labeled_few_shot"],
        threads=1,
        stop=lambda report: _asked_in(report, "final") == 2,
        stop_frame={**STOP, "final": True},
    )

    assert report.of("result")[0]["reason"] == "budget_exhausted"
    assert report.result["optimized_test_metric"] is None
    assert report.file("program.pkl")


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_questions_that_nobody_answers_do_not_hold_up_the_end(name: str) -> None:
    report = run_job(
        SPECS[name],
        threads=THREADS,
        answer=good_until(4 * VAL_ROWS + 20, phase="compile", then=lambda _frame: None),
        stop=lambda report: _asked_in(report, "compile") > 4 * VAL_ROWS + 20,
        stop_frame=STOP,
    )

    _ended_early(report, "budget_exhausted")


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_answers_that_come_after_the_stop_do_not_confuse_the_final_evaluation(name: str) -> None:
    report = run_job(SPECS[name], threads=THREADS, latency_seconds=0.05, stop=_evaluated_once, stop_frame=STOP)

    assert report.result["optimized_test_metric"] == pytest.approx(_plain_score(name, report.state()))


@pytest.mark.parametrize("name", ["bootstrap_few_shot_with_random_search", "miprov2"])
def test_a_metric_that_swallows_everything_does_not_hide_a_stop(name: str) -> None:
    code = (
        "def metric(gold, pred, trace=None):\n"
        "    try:\n        dspy.Predict('text -> verdict')(text=pred.label + gold.text)\n"
        "    except:\n        return 0.0\n"
        "    return gold.label == pred.label\n"
    )
    report = run_job(
        {**SPECS[name], "metric_code": code},
        threads=THREADS,
        answer=good_until(4 * VAL_ROWS + 60, phase="compile", then=SPENT),
    )

    _ended_early(report, "budget_exhausted")


def test_the_phases_come_in_order_and_once() -> None:
    report = run_job(body("labeled_few_shot"))

    assert [frame["phase"] for frame in report.of("phase")] == ["baseline", "compile", "final"]


def test_the_dry_run_is_not_part_of_the_baseline() -> None:
    report = run_job(body("labeled_few_shot"))

    assert _asked_in(report, "baseline") == VAL_ROWS
    assert _asked_in(report, "final") == VAL_ROWS


def test_gepa_may_reach_its_target_with_a_metric_of_another_scale() -> None:
    code = FEEDBACK_METRIC.replace("float(right)", "100 * float(right)")
    spec = {**_spec("gepa", stop_at_score=20), "metric_code": code}

    report = run_job(spec)

    assert report.of("result")[0]["reason"] == "target_reached"
    assert report.result["optimization_metadata"]["best_valset_score"] >= 20


def _plain_score(name: str, state: dict[str, Any]) -> float:
    """Measure a saved program on the test rows in this process, without any of our code around DSPy."""
    space: dict[str, Any] = {"dspy": dspy, "Literal": __import__("typing").Literal}
    exec(SIGNATURE, space)  # noqa: S102  # the test's own source
    program = (dspy.ChainOfThought if SPECS[name].get("module_name") == "cot" else dspy.Predict)(space["Route"])
    program.load_state(json.loads(json.dumps(state)))
    examples = [dspy.Example(text=row["body"], label=row["team"]).with_inputs("text") for row in scripted.rows(20)]
    test = split_rows(examples, SplitFractions(train=0.4, val=0.3, test=0.3), shuffle=True, seed=7).test
    with dspy.context(lm=scripted.plain_lm(), adapter=dspy.ChatAdapter(), disable_history=True):
        scores = [float(program(**row.inputs()).label == row.label) for row in test]
    return sum(scores) / len(scores)
