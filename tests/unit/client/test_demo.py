"""What the demo shows, told from a scripted service."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from dspy_service.client import JobFailedError, SubmissionError
from dspy_service.client.demo import run_demo
from dspy_service.client.demo.plotting import Trial, best_so_far, trials_of
from dspy_service.client.demo.sample import METRIC, sample_payload, sample_rows
from dspy_service.client.demo.telling import tell
from dspy_service.domain.events import Event
from dspy_service.domain.result import RunResponse
from dspy_service.domain.sources import read_sources
from dspy_service.domain.spec import RunRequest
from tests.unit.client.service import DETAIL, SUMMARY, ScriptedService

PNG_MAGIC = b"\x89PNG"


def result(*, optimized: float | None = 0.9) -> dict[str, Any]:
    return {
        "module_name": "predict",
        "optimizer_name": "miprov2",
        "metric_name": "metric",
        "split_counts": {"train": 10, "val": 5, "test": 5},
        "baseline_test_metric": 0.5,
        "optimized_test_metric": optimized,
        "optimization_metadata": {
            "winning_prompts": {"self": {"instructions": "Look at [team] rules.\nThen answer.", "demos": 3}}
        },
        "details": {},
        "program_artifact_path": "artifacts/j1",
        "program_artifact": None,
        "runtime_seconds": 12.34,
        "run_log": [],
        "comparison": {
            "baseline": 0.5,
            "optimized": 0.9,
            "difference": 0.4,
            "interval_low": 0.2,
            "interval_high": 0.6,
            "p_value": 0.001,
            "test": "paired_permutation",
            "verdict": "improved",
            "rows_used": 75,
        },
        "usage": {
            "roles": {"task": {"model": "demo/in-context", "calls": 40, "cached_calls": 2}},
            "total_calls": 40,
            "total_tokens": 900,
            "cost_usd": None,
        },
        "termination_reason": "completed",
        "sandbox_level": "L1",
        "versions": {},
    }


def event(seq: int, kind: str, data: dict[str, Any], attempt: int = 1) -> dict[str, Any]:
    return {"seq": seq, "type": kind, "timestamp": "2026-01-02T03:04:05Z", "attempt": attempt, "data": data}


def trial(seq: int, score: float, kind: str = "full", attempt: int = 1) -> dict[str, Any]:
    return event(seq, "trial", {"trial": seq, "score": score, "kind": kind, "rows": 5}, attempt)


def service_with(detail: dict[str, Any]) -> ScriptedService:
    going = {**SUMMARY, "message": "new_best_score", "latest_metrics": {"best_score": 0.75}}
    ended = {**SUMMARY, "status": detail["status"], "estimated_seconds_remaining": None}
    events = [trial(1, 0.5), trial(2, 0.9, "minibatch"), trial(3, 0.7), event(4, "log", {"message": "x"})]
    return ScriptedService(
        {
            "/run": [httpx.Response(200, json={"job_id": "j1", "status": "pending"})],
            "/jobs/j1/summary": [httpx.Response(200, json=each) for each in (SUMMARY, going, ended)],
            "/jobs/j1": [httpx.Response(200, json=detail)],
            "/jobs/j1/events": [httpx.Response(200, json={"data": events, "has_more": False, "last_id": 4})],
        }
    )


def show(detail: dict[str, Any], path: Path, *, terminal: bool = False) -> tuple[int, str]:
    written = io.StringIO()
    console = Console(file=written, width=100, force_terminal=terminal, highlight=False)
    client = service_with(detail).client()
    code = run_demo("http://service", plot_path=path, console=console, client=client)
    return code, written.getvalue()


def test_the_demo_shows_the_rise_and_draws_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.png"

    code, text = show({**DETAIL, "result": result()}, path)

    assert code == 0
    assert "50.0% → 90.0%" in text
    assert "95 % interval +20.0 to +60.0" in text
    assert "a real improvement" in text
    assert "Look at [team] rules." in text
    assert "best so far 75.0%" in text
    assert "40 calls" in text
    assert "artifacts/j1" in text
    assert path.read_bytes().startswith(PNG_MAGIC)


def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    code, text = show({**DETAIL, "result": result()}, tmp_path / "scores.png", terminal=True)

    assert code == 0
    assert "optimizing" in text
    assert "about 12 s left" in text


@pytest.mark.parametrize("optimized", [0.5, 0.4, None])
def test_no_rise_is_an_exit_code(optimized: float | None, tmp_path: Path) -> None:
    code, _ = show({**DETAIL, "result": result(optimized=optimized)}, tmp_path / "scores.png")

    assert code == 1


def test_a_job_without_a_result_is_an_exit_code(tmp_path: Path) -> None:
    code, text = show(dict(DETAIL), tmp_path / "scores.png")

    assert code == 1
    assert "without a result" in text


def test_a_failed_job_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JobFailedError):
        show({**DETAIL, "status": "failed"}, tmp_path / "scores.png")


def test_the_sample_job_is_what_the_service_takes() -> None:
    request = RunRequest.model_validate(sample_payload(seed=3))

    signature, _ = read_sources(request.signature_code, METRIC, arity=3)

    assert (signature.inputs, signature.outputs) == (("ticket",), ("team",))
    assert request.seed == 3
    assert len(request.dataset) > 200


def test_trials_are_those_of_the_last_attempt() -> None:
    events = [
        Event.model_validate_json(httpx.Response(200, json=each).content)
        for each in (
            trial(1, 0.9),
            trial(2, 0.4, attempt=2),
            trial(3, 0.6, "minibatch", attempt=2),
            trial(4, 0.3, attempt=2),
        )
    ]

    trials = trials_of(events)

    assert trials == [Trial(2, 0.4, True), Trial(3, 0.6, False), Trial(4, 0.3, True)]
    assert best_so_far(trials) == ([2, 4], [0.4, 0.4])


def test_without_matplotlib_there_is_no_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    code, text = show({**DETAIL, "result": result()}, tmp_path / "scores.png")

    assert code == 0
    assert "matplotlib is not installed" in text
    assert not (tmp_path / "scores.png").exists()


def test_without_the_sample_the_demo_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="from a checkout"):
        sample_rows(tmp_path / "none.json")


def test_what_is_not_known_is_said_so() -> None:
    unknown = {
        **result(),
        "comparison": None,
        "runtime_seconds": None,
        "sandbox_level": None,
        "optimization_metadata": {},
    }

    text = "\n".join(tell(RunResponse.model_validate_json(json.dumps(unknown))))

    assert "Took unknown time" in text
    assert "interval" not in text
    assert "prompt of" not in text
