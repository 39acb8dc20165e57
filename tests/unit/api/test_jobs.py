"""What the contract says about a job, in every state of its life."""

import re

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from tests.support import working
from tests.unit.api.payloads import payload

STATUS_FIELDS = {
    *("job_id", "status", "message", "created_at", "started_at", "completed_at", "latest_metrics"),
    *("progress_events", "logs", "estimated_seconds_remaining", "result"),
}
SUMMARY_FIELDS = {
    *("job_id", "status", "message", "created_at", "started_at", "completed_at", "elapsed_seconds"),
    *("estimated_seconds_remaining", "module_name", "optimizer_name", "dataset_rows", "split_fractions", "shuffle"),
    *("seed", "optimizer_kwargs", "compile_kwargs", "latest_metrics"),
    *("requested", "priority", "budget", "queued_at", "queue_position", "waiting_reason", "waiting_detail"),
    *("active_seconds", "losses", "best_score", "webhook_problem"),
}
RESULT_FIELDS = {
    *("module_name", "optimizer_name", "metric_name", "split_counts", "baseline_test_metric"),
    *("optimized_test_metric", "optimization_metadata", "details", "program_artifact_path", "program_artifact"),
    *("runtime_seconds", "run_log", "comparison", "usage", "termination_reason", "sandbox_level", "versions"),
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> str:
    answer = await client.post("/run", json=payload(metadata={"team": "research"}))
    return str(answer.json()["job_id"])


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_a_waiting_job_has_every_field_of_the_contract(
    prefix: str, job_id: str, client: httpx.AsyncClient
) -> None:
    status = (await client.get(f"{prefix}/jobs/{job_id}")).json()
    summary = (await client.get(f"{prefix}/jobs/{job_id}/summary")).json()

    assert set(status) >= STATUS_FIELDS
    assert set(summary) >= SUMMARY_FIELDS
    assert (status["status"], status["result"], status["logs"], status["progress_events"]) == ("pending", None, [], [])
    assert (status["attempt"], status["metadata"]) == (0, {"team": "research"})


async def test_the_summary_echoes_the_request(job_id: str, client: httpx.AsyncClient) -> None:
    summary = (await client.get(f"/jobs/{job_id}/summary")).json()

    for name in ("module_name", "optimizer_name", "split_fractions", "shuffle", "seed", "optimizer_kwargs"):
        assert summary[name] == payload()[name]
    assert (summary["compile_kwargs"], summary["dataset_rows"], summary["elapsed_seconds"]) == ({}, 20, None)


async def test_a_running_job_shows_progress_logs_and_an_eta(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    await working.start(jobs, job_id)

    status = (await client.get(f"/jobs/{job_id}")).json()

    assert (status["status"], status["message"], status["result"]) == ("running", "baseline_evaluated", None)
    assert status["latest_metrics"] == {"baseline_test_metric": 0.5}
    assert 30 < status["estimated_seconds_remaining"] <= 40
    assert [(event["event"], event["metrics"]) for event in status["progress_events"]] == [
        ("dataset_splits_ready", {"train": 10}),
        ("baseline_evaluated", {"baseline_test_metric": 0.5}),
    ]
    [entry] = status["logs"]
    assert entry | {"timestamp": ""} == {
        "timestamp": "",
        "level": "INFO",
        "logger": "dspy.evaluate",
        "message": "Average Metric: 3 / 4",
    }


async def test_times_are_utc_with_six_decimals(job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    await working.start(jobs, job_id)

    status = (await client.get(f"/jobs/{job_id}")).json()

    times = [status["created_at"], status["started_at"], status["logs"][0]["timestamp"]]
    times += [event["timestamp"] for event in status["progress_events"]]
    assert all(TIME.fullmatch(time) for time in times)


async def test_a_job_that_succeeded_has_the_whole_result(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))

    status = (await client.get(f"/jobs/{job_id}")).json()
    logs = (await client.get(f"/jobs/{job_id}/logs")).json()

    result = status["result"]
    assert (status["status"], status["termination_reason"]) == ("success", "completed")
    assert set(result) == RESULT_FIELDS
    assert result["run_log"] == logs == status["logs"]
    assert result["split_counts"] == {"train": 10, "val": 6, "test": 4}
    assert (result["baseline_test_metric"], result["optimized_test_metric"]) == (0.5, 0.75)
    assert result["program_artifact_path"] == f"artifacts/{job_id}"
    assert set(result["program_artifact"]) == {"path", "program_pickle_base64", "metadata"}
    assert status["estimated_seconds_remaining"] is None


async def test_the_summary_of_an_ended_job_says_how_long_it_took(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))

    summary = (await client.get(f"/jobs/{job_id}/summary")).json()

    assert summary["elapsed_seconds"] >= 0
    assert TIME.fullmatch(summary["completed_at"])


async def test_a_job_that_failed_has_its_log_and_nulls(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    await working.fail(jobs, job_id, await working.start(jobs, job_id))

    status = (await client.get(f"/jobs/{job_id}")).json()

    result = status["result"]
    assert (status["status"], status["message"]) == ("failed", "metric raised KeyError: 'team'")
    assert set(result) == RESULT_FIELDS
    assert (result["optimizer_name"], result["termination_reason"]) == ("miprov2", "error")
    assert len(result["run_log"]) == 1
    nulls = ("metric_name", "split_counts", "optimized_test_metric", "program_artifact", "program_artifact_path")
    assert [result[name] for name in nulls] == [None] * 5


async def test_archived_events_are_read_from_the_artifact_store(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))
    before = [(await client.get(f"/jobs/{job_id}{view}")).json() for view in ("", "/logs", "/events")]

    await working.archive(jobs, artifacts, job_id)

    after = [(await client.get(f"/jobs/{job_id}{view}")).json() for view in ("", "/logs", "/events")]
    assert after == before
    assert await jobs.events(job_id) == []


async def test_events_come_in_pages(job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    await working.start(jobs, job_id)

    first = (await client.get(f"/jobs/{job_id}/events?limit=4")).json()
    rest = (await client.get(f"/jobs/{job_id}/events?after={first['last_id']}")).json()
    none = (await client.get(f"/jobs/{job_id}/events?after=6")).json()

    assert [event["seq"] for event in first["data"] + rest["data"]] == [1, 2, 3, 4, 5, 6]
    assert [page["has_more"] for page in (first, rest, none)] == [True, False, False]
    assert (first["object"], none["data"], none["last_id"]) == ("list", [], 6)
    assert [event["type"] for event in first["data"]] == ["state", "state", "state", "progress"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=-1"])
async def test_a_page_of_another_kind_is_refused(query: str, job_id: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/jobs/{job_id}/events?{query}")

    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert answer.json()["detail"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "view", ["", "/summary", "/logs", "/usage", "/events", "/artifact", "/artifact/files/program.pkl"]
)
@pytest.mark.parametrize(
    "job_id", ["01890000-0000-7000-8000-000000000000", "nonsense", "01890000-0000-7000-8000-00000000000G", "a%00b"]
)
async def test_an_unknown_or_malformed_id_is_not_found(view: str, job_id: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/jobs/{job_id}{view}")

    assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")
    assert "POST /run" in answer.json()["detail"]


async def test_a_query_with_one_name_twice_is_refused(client: httpx.AsyncClient) -> None:
    job_id = (await client.post("/run", json=payload())).json()["job_id"]

    answer = await client.get(f"/jobs/{job_id}/events?after=1&after=0")

    assert answer.status_code == 422
    assert answer.json()["detail"] == [{"field": "after", "message": "is given more than once"}]
