"""What a webhook is told is signed as every library for receivers expects, and is never large."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.job import Job, JobStatus, Outcome
from dspy_service.domain.webhook_message import (
    MAX_BODY_BYTES,
    end_message,
    message_headers,
    tenant_secret,
    write_secret,
)
from tests.support.job_samples import CANCELLED, FAILED, OUTCOME
from tests.support.webhooks import Clock, an_ended_job

KEY = b"k" * 32
EVERYTHING_LARGE = {
    "optimizer_kwargs": {"a": "x" * MAX_BODY_BYTES},
    "compile_kwargs": {"a": "x" * MAX_BODY_BYTES},
    "latest_metrics": {"a": "x" * MAX_BODY_BYTES},
    "metadata": {"a": "x" * MAX_BODY_BYTES},
    "message": "x" * MAX_BODY_BYTES,
}


@pytest.fixture
async def ended() -> Job:
    return await an_ended_job(MemoryJobStore(Clock()), metadata={"team": "a"}, tenant="acme")


def told(job: Job) -> dict[str, object]:
    found: dict[str, object] = json.loads(end_message(job))
    return found


def test_a_signature_is_the_one_that_the_reference_library_makes() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLasw")
    sent_at = datetime.fromtimestamp(1614265330, UTC)

    headers = message_headers(
        b'{"test": 2432232314}', secret=secret, delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek", sent_at=sent_at
    )

    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,V5xCPQDdTB0l0m2VMsjB/ZVwuDV5WIe462vC5sKC8ds="
    assert headers["content-type"] == "application/json"


def test_a_secret_is_the_tenants_own_and_is_written_as_libraries_read_it() -> None:
    written = write_secret(tenant_secret(KEY, "acme"))

    assert written == "whsec_lr40a5kmAs6xVJa0B9mk6oCvpPzqEwZ6DJTMnRmuyLE="
    assert tenant_secret(KEY, "acme") == hmac.digest(KEY, b"dspy-service/webhook-secret/1\0acme", hashlib.sha256)
    assert len({tenant_secret(key, tenant) for key in (KEY, b"x" * 32) for tenant in ("acme", "other")}) == 4


@pytest.mark.parametrize(
    ("outcome", "kind"), [(OUTCOME, "job.success"), (FAILED, "job.failed"), (CANCELLED, "job.cancelled")]
)
async def test_the_type_says_how_the_job_ended(outcome: Outcome, kind: str) -> None:
    job = await an_ended_job(MemoryJobStore(Clock()), outcome=outcome)

    assert told(job)["type"] == kind


def test_the_data_is_the_jobs_summary_at_its_end(ended: Job) -> None:
    message = told(ended)

    data = message["data"]
    assert message["timestamp"] == "2026-01-02T00:00:00.000000Z"
    assert isinstance(data, dict)
    assert (data["job_id"], data["status"], data["termination_reason"]) == (ended.job_id, "success", "completed")
    assert (data["completed_at"], data["metadata"]) == (message["timestamp"], {"team": "a"})
    assert not {"tenant", "webhook", "dataset_path"} & set(data)


def test_the_body_does_not_change_when_the_job_is_settled(ended: Job) -> None:
    later = ended.evolve(archived_seq=ended.last_seq, archive_fence=ended.fence)

    assert end_message(later) == end_message(ended)


@pytest.mark.parametrize("large", [[name] for name in EVERYTHING_LARGE] + [list(EVERYTHING_LARGE)])
def test_what_is_too_large_is_left_out(large: list[str], ended: Job) -> None:
    job = ended.evolve(**{name: EVERYTHING_LARGE[name] for name in large})

    body = end_message(job)

    data = json.loads(body)["data"]
    assert len(body) <= MAX_BODY_BYTES
    assert not set(large) & set(data)
    assert (data["job_id"], data["status"]) == (ended.job_id, JobStatus.SUCCESS)


def test_nothing_is_left_out_of_a_small_one(ended: Job) -> None:
    data = told(ended)["data"]

    assert isinstance(data, dict)
    assert set(EVERYTHING_LARGE) <= set(data)
