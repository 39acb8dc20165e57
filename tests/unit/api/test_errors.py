"""Every error has one shape, whoever raised it."""

from datetime import datetime

import httpx
import pytest

from dspy_service.adapters.memory import (
    MemoryArtifactStore,
    MemoryCallLedger,
    MemoryConversationStore,
    MemoryDoorbell,
    MemoryEventStream,
    MemoryJobStore,
    MemoryKeyStore,
    MemoryProgramStore,
    MemoryRateLimiter,
    MemoryRunStore,
)
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Job, NewJob
from tests.support.signed import SECRET_KEY
from tests.unit.api.conftest import ADDRESS
from tests.unit.api.payloads import payload

UNKNOWN = "01890000-0000-7000-8000-000000000000"


class BrokenJobs(MemoryJobStore):
    """A store that fails in the way it is told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def create(self, _new: NewJob) -> tuple[Job, bool]:
        raise self.error

    async def get(self, _job_id: str) -> Job:
        raise self.error

    async def now(self) -> datetime:
        raise self.error


def client_of(error: Exception) -> httpx.AsyncClient:
    jobs = BrokenJobs(error)
    services = Services(
        settings=Settings.model_construct(),
        jobs=jobs,
        events=MemoryEventStream(jobs),
        artifacts=MemoryArtifactStore(),
        doorbell=MemoryDoorbell(),
        registry=Registry(),
        keys=MemoryKeyStore(),
        rates=MemoryRateLimiter(),
        ledger=MemoryCallLedger(),
        programs=MemoryProgramStore(),
        runs=MemoryRunStore(),
        conversations=MemoryConversationStore(),
        secret_key=SECRET_KEY,
    )
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=ADDRESS)


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nothing/here", 404, "not_found"),
        ("GET", f"/jobs/{UNKNOWN}/nothing", 404, "not_found"),
        ("PUT", "/run", 405, "method_not_allowed"),
        ("GET", f"/jobs/{UNKNOWN}", 404, "job_not_found"),
        ("GET", f"/jobs/{UNKNOWN}/events?limit=x", 422, "invalid_request"),
        ("POST", "/run", 422, "invalid_request"),
        ("GET", "/health", 503, "unavailable"),
    ],
)
async def test_every_error_has_the_envelope(
    method: str, path: str, status: int, error: str, client: httpx.AsyncClient
) -> None:
    answer = await client.request(method, path)

    body = answer.json()
    assert (answer.status_code, body["error"]) == (status, error)
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]


async def test_a_store_that_does_not_answer_is_a_503_that_can_be_retried() -> None:
    async with client_of(StoreUnavailableError("job store")) as client:
        submitted = await client.post("/run", json=payload())
        read = await client.get(f"/jobs/{UNKNOWN}")
        health = await client.get("/health")
        metrics = await client.get("/metrics")

    assert [each.status_code for each in (submitted, read, health)] == [503, 503, 503]
    assert metrics.text.splitlines()[2] == "dspy_service_store_up 0.0"
    assert "jobs_waiting" not in metrics.text
    assert "lm_calls" not in metrics.text
    assert submitted.json()["error"] == "store_unavailable"
    assert submitted.headers["retry-after"] == "5"
    assert health.json()["store"] == "unavailable"


async def test_a_fault_of_ours_says_nothing_about_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    async with client_of(RuntimeError("the password is hunter2")) as client:
        answer = await client.get(f"/jobs/{UNKNOWN}")

    assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")
    assert "hunter2" not in answer.text
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.json()["request_id"] in caplog.text


@pytest.mark.parametrize(("sent", "kept"), [("trace-1.a_B", True), ("a b", False), ("x" * 65, False), ("", False)])
async def test_a_harmless_request_id_is_kept(sent: str, kept: bool, client: httpx.AsyncClient) -> None:  # noqa: FBT001  # a case
    answer = await client.get("/health/live", headers={"X-Request-ID": sent})

    assert (answer.headers["x-request-id"] == sent) is kept


async def test_answers_keep_browsers_careful(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live")

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_a_method_that_is_not_allowed_says_which_are(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/run")

    assert answer.headers["allow"] == "POST"
