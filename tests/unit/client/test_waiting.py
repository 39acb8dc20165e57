"""How the clients wait for a job, and what they make of its end."""

import httpx
import pytest

from dspy_service.client import JobFailedError, ServiceUnreachableError, WaitTimeoutError
from dspy_service.client.answers import JobSummary
from dspy_service.domain.job import JobStatus
from tests.unit.client.service import DETAIL, SUMMARY, ScriptedService, running_then


def test_wait_reports_progress_until_the_job_has_ended() -> None:
    seen: list[JobSummary] = []

    with running_then(dict(DETAIL)).client() as client:
        detail = client.wait("j1", on_progress=seen.append, poll_seconds=0)

    assert [summary.status for summary in seen] == ["running", "running", "success"]
    assert detail.succeeded


def test_wait_gives_up_without_stopping_the_job() -> None:
    service = ScriptedService({"/jobs/j1/summary": [httpx.Response(200, json=SUMMARY)]})

    with service.client() as client, pytest.raises(WaitTimeoutError, match="still running"):
        client.wait("j1", poll_seconds=0.01, timeout_seconds=0)


def a_service_that_is_away(for_calls: int) -> ScriptedService:
    answers = [
        httpx.Response(200, json=SUMMARY),
        *(httpx.ConnectError("Connection refused") for _ in range(for_calls)),
        httpx.Response(200, json={**SUMMARY, "status": "success"}),
    ]
    return ScriptedService({"/jobs/j1/summary": answers, "/jobs/j1": [httpx.Response(200, json=DETAIL)]})


def test_wait_outlasts_a_restart_of_the_service() -> None:
    service = a_service_that_is_away(for_calls=8)

    with service.client() as client:
        detail = client.wait("j1")

    assert detail.succeeded
    assert 20 < sum(service.pauses) < 60


def test_wait_tells_soon_that_nobody_listens_at_an_address() -> None:
    service = ScriptedService({"/jobs/j1/summary": [httpx.ConnectError("Connection refused")]})

    with service.client() as client, pytest.raises(ServiceUnreachableError):
        client.wait("j1")

    assert sum(service.pauses) < 5


def test_wait_for_a_service_that_is_away_ends_with_the_time_that_it_was_given() -> None:
    service = a_service_that_is_away(for_calls=100)

    with service.client() as client, pytest.raises(ServiceUnreachableError):
        client.wait("j1", timeout_seconds=5, poll_seconds=1)

    assert sum(service.pauses) <= 6


FAILED = {
    **DETAIL,
    "status": "failed",
    "message": "metric_error: KeyError: 'team'",
    "termination_reason": "error",
    "logs": [
        {
            "timestamp": "2026-01-02T03:04:05Z",
            "level": "ERROR",
            "logger": "metric",
            "message": "Traceback (most recent call last):\n  KeyError: 'team'",
        },
        {"timestamp": "2026-01-02T03:04:06Z", "level": "INFO", "logger": "dspy", "message": "bye"},
    ],
}


def test_a_failed_job_is_data_by_default() -> None:
    with running_then(FAILED).client() as client:
        detail = client.wait("j1", poll_seconds=0)

    assert (detail.status, detail.succeeded) == (JobStatus.FAILED, False)


def test_a_failed_job_raises_with_the_users_traceback_when_asked() -> None:
    with running_then(FAILED).client() as client, pytest.raises(JobFailedError) as caught:
        client.wait("j1", poll_seconds=0, raise_on_failure=True)

    error = caught.value
    assert (error.status, error.reason, error.termination_reason) == ("failed", FAILED["message"], "error")
    assert error.traceback is not None
    assert "KeyError" in error.traceback


def test_a_cancelled_job_raises_without_a_traceback() -> None:
    cancelled = {**DETAIL, "status": "cancelled", "message": None}

    with running_then(cancelled).client() as client, pytest.raises(JobFailedError, match="cancelled") as caught:
        client.wait("j1", poll_seconds=0, raise_on_failure=True)

    assert caught.value.traceback is None
