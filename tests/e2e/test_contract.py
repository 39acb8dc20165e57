"""Every field that the HTTP contract documents, asserted against the running platform."""

import base64
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.payloads import ticket_request, ticket_rows
from tests.support.plain_dspy import run_in_plain_dspy
from tests.support.service import RunningService

RUN_RESPONSE_FIELDS = {
    "module_name",
    "optimizer_name",
    "metric_name",
    "split_counts",
    "baseline_test_metric",
    "optimized_test_metric",
    "optimization_metadata",
    "details",
    "program_artifact_path",
    "program_artifact",
    "runtime_seconds",
    "run_log",
    "comparison",
    "usage",
    "termination_reason",
    "sandbox_level",
    "versions",
}


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.base_url, timeout=30) as http:
        yield http


@pytest.fixture(scope="module")
def submitted(client: httpx.Client) -> dict[str, Any]:
    body = ticket_request(
        ticket_rows(60),
        optimizer_name="dspy.teleprompt.MIPROv2",
        optimizer_kwargs={"auto": "light", "max_bootstrapped_demos": 2, "max_labeled_demos": 2},
        module_name="dspy.modules.ChainOfThought",
        metadata={"project": "contract"},
    )
    answer = client.post("/run", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture(scope="module")
def ended(service: RunningService, submitted: dict[str, Any]) -> dict[str, Any]:
    return service.wait(submitted["job_id"])


def test_a_submit_answers_with_a_pending_job(submitted: dict[str, Any]) -> None:
    assert submitted.keys() == {"job_id", "status", "estimated_remaining_seconds"}
    assert submitted["status"] == "pending"
    assert submitted["estimated_remaining_seconds"] is None


def test_an_artifact_is_409_before_the_job_has_ended(service: RunningService, client: httpx.Client) -> None:
    slow = ticket_request(
        model_config={"name": "demo/in-context?latency_ms=100"},
        optimizer_name="bootstrap_few_shot",
        optimizer_kwargs={},
    )
    job_id = client.post("/run", json=slow).json()["job_id"]

    early = client.get(f"/jobs/{job_id}/artifact")

    assert early.status_code == 409
    assert early.json()["error"] == "job_not_finished"
    assert client.get(f"/jobs/{job_id}").json()["result"] is None
    service.wait(job_id)
    assert client.get(f"/jobs/{job_id}/artifact").status_code == 200


def test_the_full_record_has_every_documented_field(ended: dict[str, Any]) -> None:
    assert ended["status"] == "success", ended["message"]
    documented = {
        "job_id",
        "status",
        "message",
        "created_at",
        "started_at",
        "completed_at",
        "latest_metrics",
        "progress_events",
        "logs",
        "estimated_seconds_remaining",
        "result",
    }
    assert documented <= ended.keys()
    times = [dt.datetime.fromisoformat(ended[name]) for name in ("created_at", "started_at", "completed_at")]
    assert times == sorted(times)
    assert all(time.tzinfo is not None for time in times)
    assert ended["estimated_seconds_remaining"] is None


def test_progress_events_tell_the_story_in_the_contracts_words(ended: dict[str, Any]) -> None:
    events = ended["progress_events"]

    names = [event["event"] for event in events]
    assert all(event.keys() == {"timestamp", "event", "metrics"} for event in events)
    landmarks = [
        name for name in names if name in {"dataset_splits_ready", "baseline_evaluated", "optimized_evaluated"}
    ]
    assert landmarks == ["dataset_splits_ready", "baseline_evaluated", "optimized_evaluated"]
    progress = next(event for event in events if event["event"] == "optimizer_progress")
    tqdm = {"tqdm_n", "tqdm_total", "tqdm_percent", "tqdm_elapsed", "tqdm_remaining", "tqdm_desc"}
    assert tqdm <= progress["metrics"].keys()
    assert ended["latest_metrics"]["baseline_test_metric"] == ended["result"]["baseline_test_metric"]
    assert ended["latest_metrics"]["optimized_test_metric"] == ended["result"]["optimized_test_metric"]


def test_the_summary_has_every_documented_field(
    client: httpx.Client, ended: dict[str, Any], submitted: dict[str, Any]
) -> None:
    summary = client.get(f"/v1/jobs/{submitted['job_id']}/summary").json()

    documented = [
        "job_id",
        "status",
        "message",
        "created_at",
        "started_at",
        "completed_at",
        "elapsed_seconds",
        "estimated_seconds_remaining",
        "module_name",
        "optimizer_name",
        "dataset_rows",
        "split_fractions",
        "shuffle",
        "seed",
        "optimizer_kwargs",
        "compile_kwargs",
        "latest_metrics",
    ]
    assert set(documented) <= summary.keys()
    assert summary["module_name"] == "dspy.modules.ChainOfThought"
    assert summary["optimizer_name"] == "dspy.teleprompt.MIPROv2"
    assert summary["dataset_rows"] == 60
    assert summary["split_fractions"] == {"train": 0.5, "val": 0.3, "test": 0.2}
    assert summary["shuffle"] is True
    assert summary["seed"] == 7
    assert summary["optimizer_kwargs"] == {"auto": "light", "max_bootstrapped_demos": 2, "max_labeled_demos": 2}
    assert summary["compile_kwargs"] == {}
    assert summary["elapsed_seconds"] > 0


def test_logs_are_chronological_and_the_same_everywhere(
    client: httpx.Client, ended: dict[str, Any], submitted: dict[str, Any]
) -> None:
    logs = client.get(f"/jobs/{submitted['job_id']}/logs").json()

    assert all(entry.keys() == {"timestamp", "level", "logger", "message"} for entry in logs)
    assert [entry["timestamp"] for entry in logs] == sorted(entry["timestamp"] for entry in logs)
    assert any(entry["logger"].startswith("dspy.teleprompt.mipro") for entry in logs)
    assert not any("\x1b" in entry["message"] for entry in logs)
    assert logs == ended["logs"] == ended["result"]["run_log"]


def test_the_result_is_the_contracts_run_response(ended: dict[str, Any], submitted: dict[str, Any]) -> None:
    result = ended["result"]

    assert result.keys() == RUN_RESPONSE_FIELDS
    assert result["module_name"] == "dspy.modules.ChainOfThought"
    assert result["optimizer_name"] == "dspy.teleprompt.MIPROv2"
    assert result["metric_name"] == "metric"
    assert result["split_counts"] == {"train": 30, "val": 18, "test": 12}
    assert 0 <= result["baseline_test_metric"] <= 1
    assert 0 <= result["optimized_test_metric"] <= 1
    assert result["program_artifact_path"] == f"artifacts/{submitted['job_id']}"
    assert result["program_artifact"].keys() == {"path", "program_pickle_base64", "metadata"}
    assert result["runtime_seconds"] > 0
    assert result["comparison"]["rows_used"] == 12
    assert result["usage"]["total_calls"] > 0
    assert result["termination_reason"] == "completed"
    assert result["sandbox_level"] in {"L1", "L2"}
    assert result["versions"]["dspy"] == "3.4.1"


def test_the_artifact_is_the_one_in_the_result(
    client: httpx.Client, ended: dict[str, Any], submitted: dict[str, Any]
) -> None:
    artifact = client.get(f"/jobs/{submitted['job_id']}/artifact").json()

    assert artifact.keys() == {"program_artifact_path", "program_artifact"}
    assert artifact["program_artifact_path"] == ended["result"]["program_artifact_path"]
    assert artifact["program_artifact"] == ended["result"]["program_artifact"]


def test_health_names_the_registered_assets(client: httpx.Client) -> None:
    health = client.get("/health").json()

    assert health["status"] == "ok"
    assert {"predict", "cot"} <= set(health["registered_assets"]["modules"])
    assert {"gepa", "miprov2"} <= set(health["registered_assets"]["optimizers"])


def test_every_route_is_served_at_the_root_and_under_v1(client: httpx.Client, submitted: dict[str, Any]) -> None:
    for path in ("", "/summary", "/logs", "/artifact"):
        root = client.get(f"/jobs/{submitted['job_id']}{path}")
        versioned = client.get(f"/v1/jobs/{submitted['job_id']}{path}")

        assert root.status_code == versioned.status_code
    assert client.get("/v1/health").status_code == 200


def test_an_unknown_job_is_404_on_every_route(client: httpx.Client) -> None:
    for job_id in ("018f0000-0000-7000-8000-000000000000", "not-an-id"):
        for path in ("", "/summary", "/logs", "/artifact"):
            answer = client.get(f"/jobs/{job_id}{path}")

            assert answer.status_code == 404
            assert answer.json().keys() == {"error", "detail", "request_id"}


def test_a_program_that_fails_ends_failed_with_the_users_traceback(
    service: RunningService, client: httpx.Client
) -> None:
    broken = ticket_request(metric_code="def metric(gold, pred, trace=None):\n    return gold.team == pred.taem\n")
    job_id = client.post("/run", json=broken).json()["job_id"]

    record = service.wait(job_id)

    assert record["status"] == "failed"
    assert "\n" not in record["message"]
    assert "taem" in record["message"]
    assert any("<metric_code>" in entry["message"] and "line 2" in entry["message"] for entry in record["logs"])
    assert record["result"]["program_artifact"] is None
    assert record["result"]["run_log"] == record["logs"]
    assert client.get(f"/jobs/{job_id}/artifact").status_code == 404


def test_the_pickle_loads_with_plain_dspy_in_another_environment(ended: dict[str, Any], tmp_path: Path) -> None:
    bundle = tmp_path / "program.pkl"
    bundle.write_bytes(base64.b64decode(ended["result"]["program_artifact"]["program_pickle_base64"]))
    script = (
        "import cloudpickle, dspy, json, sys\n"
        "program = cloudpickle.load(open(sys.argv[1], 'rb'))\n"
        "lm = dspy.utils.DummyLM([{'reasoning': 'r', 'team': 'billing'}])\n"
        "with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):\n"
        "    answer = program(ticket='I was charged twice')\n"
        "print(json.dumps({'team': answer.team}))\n"
    )

    printed = run_in_plain_dspy(script, bundle, folder=tmp_path)

    assert json.loads(printed.splitlines()[-1]) == {"team": "billing"}
