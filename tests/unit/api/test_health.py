"""``/health`` says whether a job that is submitted now will be taken, and if not, why."""

from datetime import UTC, datetime
from importlib.metadata import version

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.keys import Scope
from dspy_service.domain.workers import WorkerInfo
from tests.support import working
from tests.unit.api.keyed import header
from tests.unit.api.payloads import payload


@pytest.mark.parametrize("path", ["/health", "/v1/health", "/health/ready"])
async def test_a_store_and_a_worker_are_enough(path: str, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    await working.announce(jobs, "L2", "L1")

    answer = await client.get(path)

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "version": version("dspy-service"),
        "registered_assets": {
            "modules": ["predict", "cot"],
            "optimizers": [
                *("bootstrap_few_shot", "bootstrap_few_shot_with_random_search"),
                *("gepa", "labeled_few_shot", "miprov2"),
            ],
        },
        "sandbox": {"level": "L1", "minimum": "L1"},
        "store": "ok",
        "workers": {"live": 2, "eligible": 2, "concurrency": 4},
        "serving": {"live": 0, "concurrency": 0},
        "queue": {"waiting": 0, "running": 0, "oldest_waiting_seconds": 0.0, "no_worker": None},
    }


async def test_without_a_worker_it_is_unavailable(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")

    body = answer.json()
    assert answer.status_code == 503
    assert (body["status"], body["error"]) == ("unavailable", "unavailable")
    assert "No worker is live" in body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["workers"] == {"live": 0, "eligible": 0, "concurrency": 0}


async def test_a_worker_that_only_serves_takes_no_job(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    await working.announce(jobs, "L2", queues=("serving",))

    answer = await client.get("/health")

    assert answer.status_code == 503
    assert "No worker is live" in answer.json()["detail"]


async def test_what_serves_is_counted_apart(
    client: httpx.AsyncClient, jobs: MemoryJobStore, settings: Settings
) -> None:
    await working.announce(jobs, "L2")
    await working.announce(jobs, "L2", queues=("serving",))
    await working.announce(jobs, "L2", queues=("both", "jobs", "serving"))

    answer = await client.get("/health")

    assert answer.json()["workers"] == {"live": 2, "eligible": 2, "concurrency": 4}
    assert answer.json()["serving"] == {"live": 2, "concurrency": 4 * settings.serving_concurrency}


class TestWithAMinimumOfL2:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(sandbox_min_level="L2")

    async def test_weaker_workers_do_not_count(self, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
        await working.announce(jobs, "L1")

        answer = await client.get("/health")

        assert answer.status_code == 503
        assert answer.json()["error"] == "sandbox_unavailable"
        assert "No live worker reaches sandbox level L2, only L1" in answer.json()["detail"]
        assert answer.json()["sandbox"] == {"level": "L1", "minimum": "L2"}

    async def test_a_job_is_refused_with_what_is_missing(
        self, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
    ) -> None:
        missing = ("The kernel offers no Landlock.",)
        worker = WorkerInfo(
            worker_id="host:1:0",
            queues=("jobs",),
            concurrency=2,
            sandbox_level="L1",
            missing=missing,
            started_at=datetime.now(UTC),
        )
        await jobs.announce_worker(worker, ttl_seconds=60)

        answer = await client.post("/run", json=payload())

        assert (answer.status_code, answer.json()["error"]) == (503, "sandbox_unavailable")
        assert "only L1, so submitted code is not run. The kernel offers no Landlock." in answer.json()["detail"]
        assert await jobs.due(limit=10) == []
        assert artifacts.files == {}

    async def test_a_job_is_taken_while_no_worker_lives(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/run", json=payload())

        assert answer.status_code == 200

    async def test_one_strong_worker_is_enough(self, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
        await working.announce(jobs, "L1", "L2")

        answer = await client.get("/health")

        assert answer.status_code == 200
        assert answer.json()["sandbox"] == {"level": "L2", "minimum": "L2"}
        assert answer.json()["workers"] == {"live": 2, "eligible": 1, "concurrency": 2}


@pytest.mark.parametrize("path", ["/health", "/v1/health/ready", "/health/live"])
async def test_a_probe_may_ask_for_the_status_alone(path: str, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    await working.announce(jobs, "L2")

    answer = await client.head(path)

    assert answer.status_code == 200


async def test_the_process_is_live_whatever_it_stands_on(client: httpx.AsyncClient, services: Services) -> None:
    answer = await client.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_stranger_hears_no_more_than_the_state_and_the_confinement(
    client: httpx.AsyncClient, services: Services, jobs: MemoryJobStore
) -> None:
    await working.announce(jobs, "L2")
    sent = await header(services, scopes=[Scope.JOBS_READ])

    stranger = await client.get("/health")
    known = await client.get("/health", headers=sent)
    guesser = await client.get("/health", headers={"authorization": "Bearer nonsense"})

    assert stranger.json() == {"status": "ok", "sandbox": {"level": "L2", "minimum": "L1"}}
    assert {"registered_assets", "store", "workers"} <= set(known.json())
    assert guesser.status_code == 401


async def test_a_stranger_hears_that_something_is_wrong_but_not_what(
    client: httpx.AsyncClient, services: Services
) -> None:
    await header(services)

    answer = await client.get("/health")

    assert answer.status_code == 503
    assert set(answer.json()) == {"status", "sandbox", "error", "detail", "request_id"}
    assert "worker" not in answer.json()["detail"]
