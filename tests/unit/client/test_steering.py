"""What the client sends to list, steer and delete jobs, and to read what they cost."""

import httpx
import pytest

from dspy_service.client import NotYetError, UnknownJobError
from dspy_service.domain.job import JobStatus
from tests.unit.client.service import SUMMARY, ScriptedService, refusal

PAGE = {"object": "list", "data": [SUMMARY], "has_more": True, "last_id": "j1"}


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry"])
def test_each_wish_is_a_post_that_answers_with_the_summary(verb: str) -> None:
    asked = {**SUMMARY, "requested": "cancel" if verb == "cancel" else None}
    service = ScriptedService({f"/jobs/j1/{verb}": [httpx.Response(200, json=asked)]})

    with service.client() as client:
        summary = getattr(client, verb)("j1")

    assert [request.method for request in service.requests] == ["POST"]
    assert (summary.status, summary.requested) == (JobStatus.RUNNING, asked["requested"])


def test_a_wish_that_the_state_forbids_is_an_error_with_advice() -> None:
    service = ScriptedService({"/jobs/j1/pause": [refusal(409, "job_state", "Job 'j1' is success, so …")]})

    with service.client() as client, pytest.raises(NotYetError, match="is success"):
        client.pause("j1")


def test_a_list_names_its_filters() -> None:
    service = ScriptedService({"/jobs": [httpx.Response(200, json=PAGE)]})

    with service.client() as client:
        page = client.jobs(limit=5, after="j9", status=JobStatus.RUNNING, optimizer="miprov2", metadata={"team": "a b"})

    assert dict(service.requests[0].url.params) == {
        "limit": "5",
        "after": "j9",
        "status": "running",
        "optimizer": "miprov2",
        "metadata[team]": "a b",
    }
    assert ([job.job_id for job in page.data], page.has_more, page.last_id) == (["j1"], True, "j1")


def test_usage_is_read_by_role_and_by_model() -> None:
    role = {"model": "m", "calls": 3, "cost_usd": 0.5, "mood": "good"}
    body = {"job_id": "j1", "is_final": True, "roles": {"task": role}, "models": {"m": role}, "total_calls": 3}
    service = ScriptedService({"/jobs/j1/usage": [httpx.Response(200, json=body)]})

    with service.client() as client:
        usage = client.usage("j1")

    assert (usage.roles["task"].calls, usage.models["m"].cost_usd, usage.is_final) == (3, 0.5, True)


class TestDeleting:
    def test_it_is_done_when_the_service_says_so(self) -> None:
        service = ScriptedService({"/jobs/j1": [httpx.Response(204)]})

        with service.client() as client:
            client.delete("j1")

        assert [request.method for request in service.requests] == ["DELETE"]

    def test_a_job_that_is_not_there_is_an_error(self) -> None:
        service = ScriptedService({"/jobs/j1": [refusal(404, "job_not_found", "There is no job 'j1'.")]})

        with service.client() as client, pytest.raises(UnknownJobError):
            client.delete("j1")

    @pytest.mark.parametrize("first", [httpx.ReadTimeout("lost"), refusal(503, "store_unavailable", "Try again.")])
    def test_a_lost_answer_is_made_up_for_by_the_jobs_absence(
        self, first: httpx.Response | httpx.TransportError
    ) -> None:
        gone = refusal(404, "job_not_found", "There is no job 'j1'.")
        service = ScriptedService({"/jobs/j1": [first, gone]})

        with service.client() as client:
            client.delete("j1")

        assert len(service.requests) == 2
