"""How the clients wait for a job, and what they make of its end."""

import httpx
import pytest

from dspy_service.client import JobFailedError, WaitTimeoutError
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
