"""The best program so far, as it leaves the runner while the compile goes on."""

import io
import json
from functools import cache

import cloudpickle
import pytest

from dspy_service.domain.result import RunnerResult
from tests.integration.runner.session import SPLIT_FOR_MINIBATCHES, Report, body, run_job
from tests.integration.runner.specs import SPECS, TAKES_VALSET

FILES = ["program.json", "program.pkl", "metadata.json"]


@cache
def _report(name: str) -> Report:
    """Run the job of an optimizer once for all tests that only read what it said."""
    return run_job(SPECS[name], latency_seconds=0.01)


def _full_scores(report: Report) -> list[float]:
    return [trial["score"] for trial in report.events("trial") if trial["kind"] == "full"]


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_the_last_checkpoint_is_the_program_that_the_optimizer_returns(name: str) -> None:
    report = _report(name)

    last = report.of("checkpoint")[-1]
    assert report.state(checkpoint=last["number"]) == report.state()
    assert last["score"] == pytest.approx(max(_full_scores(report)))
    assert last["score"] == report.result["optimization_metadata"]["best_valset_score"]


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_a_checkpoint_is_a_complete_artifact_with_what_is_known(name: str) -> None:
    report = _report(name)

    for number, checkpoint in enumerate(report.of("checkpoint"), 1):
        result = RunnerResult.model_validate(checkpoint["result"])
        metadata = json.loads(report.file("metadata.json", checkpoint=number))
        assert checkpoint["number"] == number
        assert result.baseline_test_metric == report.result["baseline_test_metric"]
        assert result.optimized_test_metric is None
        assert result.optimization_metadata["best_valset_score"] == checkpoint["score"]
        assert result.optimization_metadata["winning_prompts"]
        assert metadata["best_valset_score"] == checkpoint["score"]
        assert metadata["job_id"] == "job-1"
        assert metadata["optimized_test_metric"] is None


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_the_pickle_of_a_checkpoint_is_the_same_program(name: str) -> None:
    report = _report(name)
    number = report.of("checkpoint")[-1]["number"]

    program = cloudpickle.load(io.BytesIO(report.file("program.pkl", checkpoint=number)))

    assert json.loads(json.dumps(program.dump_state())) == report.state(checkpoint=number)


@pytest.mark.parametrize("name", TAKES_VALSET)
def test_the_files_of_a_checkpoint_come_whole_and_in_order_before_its_frame(name: str) -> None:
    report = _report(name)

    sets = [
        [frame["name"] for frame in report.of("blob") if frame["checkpoint"] == checkpoint["number"] and frame["last"]]
        for checkpoint in report.of("checkpoint")
    ]
    marks = [
        frame.get("number") or frame["checkpoint"] for frame in report.frames if frame["t"] in ("blob", "checkpoint")
    ]
    assert all(names == FILES for names in sets)
    assert marks[: -len(FILES)] == sorted(marks[: -len(FILES)])
    assert marks[-len(FILES) :] == [None] * len(FILES)


def test_better_programs_come_one_after_the_other_and_not_more_than_one_a_second() -> None:
    better = body(
        "bootstrap_few_shot_with_random_search",
        metric_code=_METRIC_THAT_GROWS,
        optimizer_kwargs={"num_candidate_programs": 30, "max_bootstrapped_demos": 1, "max_labeled_demos": 2},
    )

    report = run_job(better, latency_seconds=0.02)

    scores = [checkpoint["score"] for checkpoint in report.of("checkpoint")]
    seconds = report.result["details"]["phase_seconds"]["compile"]
    assert len(report.progress("new_best_score")) > 20
    assert 2 <= len(scores) <= seconds + 2
    assert scores == sorted(scores)
    assert scores[-1] == max(_full_scores(report))


def test_a_cancel_is_answered_with_the_newest_best_first() -> None:
    better = body(
        "bootstrap_few_shot_with_random_search",
        metric_code=_METRIC_THAT_GROWS,
        optimizer_kwargs={"num_candidate_programs": 30, "max_bootstrapped_demos": 1, "max_labeled_demos": 2},
    )

    report = run_job(better, stop=lambda report: len(report.progress("new_best_score")) == 3)

    newest = [data["best_score"] for data in report.progress("new_best_score")][-1]
    assert report.failure["kind"] == "cancelled"
    assert report.of("checkpoint")[-1]["score"] == newest
    assert report.frames[-1]["t"] == "failure"


@pytest.mark.parametrize("name", ["labeled_few_shot", "bootstrap_few_shot"])
def test_an_optimizer_without_scored_candidates_sends_none(name: str) -> None:
    assert not _report(name).of("checkpoint")


def test_minibatch_scores_make_no_checkpoint() -> None:
    report = run_job({**SPECS["miprov2"], "split_fractions": SPLIT_FOR_MINIBATCHES}, rows=150)

    assert {trial["kind"] for trial in report.events("trial")} == {"full", "minibatch"}
    assert {checkpoint["score"] for checkpoint in report.of("checkpoint")} <= set(_full_scores(report))
    last = report.of("checkpoint")[-1]
    assert last["score"] == max(_full_scores(report))
    assert report.state(checkpoint=last["number"]) == report.state()


_METRIC_THAT_GROWS = """
import itertools

count = itertools.count()

def metric(gold, pred, trace=None):
    return next(count) / 10_000
"""
