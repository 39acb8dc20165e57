"""Every optimizer of the catalogue, end to end in a real runner, and against plain DSPy."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import dspy
import pytest

from dspy_service.domain.result import RunnerResult
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.splits import split_rows
from tests.integration.runner import scripted
from tests.integration.runner.session import SIGNATURE, SPLIT_FOR_MINIBATCHES, Report, body, run_job
from tests.integration.runner.specs import DEMOS, SPECS, TAKES_VALSET

PLAIN: dict[str, Callable[[Any], dspy.teleprompt.Teleprompter]] = {
    "labeled_few_shot": lambda _metric: dspy.LabeledFewShot(k=3),
    "bootstrap_few_shot": lambda metric: dspy.BootstrapFewShot(metric=metric, **DEMOS),
    "bootstrap_few_shot_with_random_search": lambda metric: dspy.BootstrapFewShotWithRandomSearch(
        metric=metric,
        num_candidate_programs=3,
        **DEMOS,
    ),
    "miprov2": lambda metric: dspy.MIPROv2(metric=metric),
    "gepa": lambda metric: dspy.GEPA(metric=metric, max_metric_calls=60, reflection_lm=scripted.plain_lm()),
}


@cache
def _report(name: str) -> Report:
    """Run the job of an optimizer once for all tests that only read what it said."""
    return run_job(SPECS[name])


@pytest.mark.parametrize("name", SPECS)
def test_an_optimizer_ends_with_the_program_that_plain_dspy_makes(name: str) -> None:
    report = _report(name)

    assert report.state() == json.loads(json.dumps(_plain_state(name)))


@pytest.mark.parametrize("name", SPECS)
def test_the_result_of_an_optimizer_is_complete(name: str) -> None:
    report = _report(name)

    result = RunnerResult.model_validate(report.result)
    assert result.metric_name == "metric"
    assert result.split_counts is not None
    assert (result.split_counts.train, result.split_counts.val, result.split_counts.test) == (8, 6, 6)
    assert result.baseline_test_metric is not None
    assert 0 <= result.baseline_test_metric <= 1
    assert result.optimized_test_metric is not None
    assert result.comparison is not None
    assert result.comparison.rows_used == 6
    assert result.versions["dspy"] == dspy.__version__
    assert result.optimization_metadata["winning_prompts"]
    assert result.details["metric_errors"] == 0
    assert int(str(result.details["metric_calls"])) >= 12
    assert _order(report)[:3] == ["dataset_splits_ready", "baseline_evaluated", "optimizer_started"]
    assert _order(report)[-2:] == ["optimizer_finished", "optimized_evaluated"]
    assert report.events("progress")[-1]["metrics"]["percent"] == 100.0


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_trials_tell_the_score_curve_and_their_candidates(name: str) -> None:
    report = _report(name)

    trials, candidates = report.events("trial"), report.events("candidate")
    assert [trial["trial"] for trial in trials] == list(range(1, len(trials) + 1))
    assert {trial["candidate"] for trial in trials} <= {candidate["candidate"] for candidate in candidates}
    assert all(candidate["instructions"] for candidate in candidates)
    best = max(trial["score"] for trial in trials if trial["kind"] == "full")
    assert report.result["optimization_metadata"]["best_valset_score"] == pytest.approx(best)


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_the_same_job_asks_the_same_questions_whatever_its_threads(name: str) -> None:
    again = run_job(SPECS[name], threads=8)

    assert _questions(again) == _questions(_report(name))
    assert again.file("program.json") == _report(name).file("program.json")


def test_a_dry_run_question_is_asked_again_by_the_baseline() -> None:
    report = run_job(SPECS["labeled_few_shot"], threads=1)

    requests = [frame["request"] for frame in report.of("lm")]
    assert requests[0] == requests[1]


def test_roles_are_asked_for_what_is_theirs() -> None:
    report = _report("gepa")

    roles = {frame["role"] for frame in report.of("lm")}
    assert roles == {"task", "reflection"}


def test_unmapped_columns_never_leave_the_runner() -> None:
    report = _report("miprov2")

    assert "secret column" not in json.dumps([frame["request"] for frame in report.of("lm")])


def test_an_empty_test_split_gives_null_measurements() -> None:
    fractions = {"train": 0.5, "val": 0.5, "test": 0.0}

    report = run_job({**SPECS["bootstrap_few_shot"], "split_fractions": fractions})

    assert report.result["baseline_test_metric"] is None
    assert report.result["optimized_test_metric"] is None
    assert report.result["comparison"] is None
    assert report.file("program.pkl")


def test_miprov2_without_a_valset_splits_the_trainset_itself() -> None:
    fractions = {"train": 0.7, "val": 0.0, "test": 0.3}

    report = run_job({**SPECS["miprov2"], "split_fractions": fractions})

    assert {trial["rows"] for trial in report.events("trial")} == {11}


def test_miprov2_evaluates_fully_where_no_minibatch_fits() -> None:
    manual = body("miprov2", optimizer_kwargs={"auto": None, "num_candidates": 3}, compile_kwargs={"num_trials": 2})

    report = run_job(manual)

    assert report.events("warning")[0]["code"] == "minibatch_off"
    assert {trial["kind"] for trial in report.events("trial")} == {"full"}


def test_miprov2_refuses_a_minibatch_larger_than_the_valset() -> None:
    report = run_job(
        body(
            "miprov2",
            optimizer_kwargs={"auto": None, "num_candidates": 3},
            compile_kwargs={
                "num_trials": 2,
                "minibatch": True,
                "minibatch_size": 10,
            },
        )
    )

    assert report.failure["kind"] == "optimizer_error"
    assert "minibatch_size is 10, but the valset has 6 rows" in report.failure["message"]


def test_minibatch_scores_never_compete_for_the_best() -> None:
    report = run_job({**SPECS["miprov2"], "split_fractions": SPLIT_FOR_MINIBATCHES}, rows=150)

    trials = report.events("trial")
    assert {(trial["kind"], trial["rows"]) for trial in trials} == {("full", 60), ("minibatch", 35)}
    best = max(trial["score"] for trial in trials if trial["kind"] == "full")
    assert report.result["optimization_metadata"]["best_valset_score"] == best
    assert report.progress("new_best_score")[-1]["best_score"] == best


def test_gepa_tells_its_budget_and_what_it_used() -> None:
    told = _report("gepa").result["optimization_metadata"]["gepa"]

    assert told["budget"] == 60
    assert 60 <= told["metric_calls"] < 60 + 6 + 6
    assert told["accepted"] + told["rejected"] > 0


def test_no_file_holds_a_row_that_is_no_demo() -> None:
    report = _report("gepa")

    assert b"ticket number" not in report.file("program.pkl") + report.file("program.json")


def _questions(report: Report) -> set[str]:
    fields = ("role", "request", "rollout_id", "candidate")
    return {json.dumps([frame[field] for field in fields], sort_keys=True) for frame in report.of("lm")}


def _order(report: Report) -> list[str]:
    stages = ("dataset_splits_ready", "baseline_evaluated", "optimizer_started", "optimizer_finished")
    wanted = (*stages, "optimized_evaluated")
    return [data["event"] for data in report.events("progress") if data["event"] in wanted]


def _plain_state(name: str) -> Any:  # noqa: ANN401  # JSON
    """Compile the same job in this process, without any of our code around DSPy."""
    spec = JobSpec.model_validate(SPECS[name])
    space: dict[str, Any] = {"dspy": dspy, "Literal": __import__("typing").Literal}
    exec(SIGNATURE, space)  # noqa: S102  # the test's own source
    exec(spec.metric_code, space)  # noqa: S102  # the test's own source
    module = dspy.ChainOfThought if spec.module_name == "cot" else dspy.Predict
    examples = [dspy.Example(text=row["body"], label=row["team"]).with_inputs("text") for row in scripted.rows(20)]
    split = split_rows(examples, spec.split_fractions, shuffle=True, seed=spec.seed or 0)
    valset = {"valset": split.val} if name in TAKES_VALSET else {}
    with dspy.context(lm=scripted.plain_lm(), adapter=dspy.ChatAdapter(), disable_history=True):
        program = PLAIN[name](space["metric"]).compile(module(space["Route"]), trainset=split.train, **valset)
    return program.dump_state()
