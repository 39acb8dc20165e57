"""The clients: what they send, how they read answers, how they wait."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dspy_service.client import (
    ApiError,
    AsyncClient,
    NotFoundError,
    NotYetError,
    RequestRejectedError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    UnexpectedAnswerError,
)
from dspy_service.client.answers import WebhookSecret
from tests.unit.client import subjects
from tests.unit.client.service import DETAIL, SUMMARY, ScriptedService, refusal, running_then

SUBMITTED = httpx.Response(200, json={"job_id": "j1", "status": "pending", "estimated_remaining_seconds": None})
USAGE = {"job_id": "j1", "is_final": False, "models": {}, "total_calls": 3}
ROWS = [{"ticket": "Where is it?", "team": "delivery"}, {"ticket": "Refund me", "team": "billing"}]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRejectedError),
        (413, RequestRejectedError),
        (404, NotFoundError),
        (409, NotYetError),
        (503, ServiceUnavailableError),
        (500, ApiError),
    ],
)
def test_a_refusal_is_raised_with_its_facts(status: int, kind: type[ApiError]) -> None:
    service = ScriptedService({"/jobs/j1/artifact": [refusal(status, "some_code", "Do this.", **{"retry-after": "4"})]})

    with service.client() as client, pytest.raises(kind) as caught:
        client.artifact("j1")

    error = caught.value
    assert (error.code, error.detail, error.request_id, error.status_code) == ("some_code", "Do this.", "r1", status)


def test_a_malformed_request_names_its_fields() -> None:
    detail = [{"field": "seed", "message": "is negative"}, {"field": "", "message": "is odd"}]
    service = ScriptedService({"/run": [refusal(422, "invalid_request", detail)]})

    with service.client() as client, pytest.raises(RequestRejectedError) as caught:
        client.submit(subjects.Route, subjects.exact_team, ROWS)

    assert [problem.field for problem in caught.value.problems] == ["seed", ""]
    assert "seed: is negative; is odd" in str(caught.value)


def test_a_detail_of_another_shape_is_shown_whole() -> None:
    service = ScriptedService({"/jobs/j1": [refusal(400, "odd", [{"loc": 1}])]})

    with service.client() as client, pytest.raises(RequestRejectedError, match='"loc": 1'):
        client.status("j1")


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(418, text="teapot")])
def test_another_server_at_the_address_is_told_apart(answer: httpx.Response) -> None:
    service = ScriptedService({"/jobs/j1/summary": [answer]})

    with service.client() as client, pytest.raises(UnexpectedAnswerError):
        client.summary("j1")


def test_nothing_at_the_address_is_said_with_the_address() -> None:
    service = ScriptedService({"/health": [httpx.ConnectError("refused")]})

    with service.client() as client, pytest.raises(ServiceUnreachableError, match=r"http://service/.*refused"):
        client.health()


def test_an_unhealthy_service_is_an_answer() -> None:
    unwell = {
        "status": "unavailable",
        "reason": "no worker",
        "registered_assets": {"modules": ["cot"], "optimizers": []},
    }
    service = ScriptedService({"/health": [httpx.Response(503, json=unwell)]})

    with service.client() as client:
        health = client.health()

    assert not health.is_ok
    assert health.registered_assets.modules == ["cot"]
    assert health.model_dump()["reason"] == "no worker"


def test_fields_of_a_newer_service_are_ignored() -> None:
    newer = {**SUMMARY, "mood": "good", "split_fractions": {**SUMMARY["split_fractions"], "extra": 0}}
    service = ScriptedService({"/jobs/j1/summary": [httpx.Response(200, json=newer)]})

    with service.client() as client:
        summary = client.summary("j1")

    assert summary.estimated_seconds_remaining == 12.5


def test_job_ids_are_quoted_in_paths() -> None:
    service = ScriptedService({"/jobs/a/../b/logs": [httpx.Response(200, json=[])]})

    with service.client() as client:
        assert client.logs("a/../b") == []

    assert service.requests[0].url.raw_path == b"/jobs/a%2F..%2Fb/logs"


def test_a_file_of_an_artifact_comes_byte_by_byte_as_it_is() -> None:
    data = bytes(range(256))
    service = ScriptedService({"/jobs/j1/artifact/files/program.pkl": [httpx.Response(200, content=data)]})

    with service.client() as client:
        assert client.artifact_file("j1", "program.pkl") == data


def test_the_secret_of_webhooks_is_read_and_not_shown_by_accident() -> None:
    service = ScriptedService({"/webhooks/secret": [httpx.Response(200, json={"secret": "whsec_AA=="})]})

    with service.client() as client:
        secret = client.webhook_secret()

    assert secret == "whsec_AA=="  # noqa: S105 - no secret of anybody
    assert "whsec" not in repr(WebhookSecret(secret=secret))


def test_events_are_collected_page_by_page() -> None:
    def page(*numbers: int, more: bool) -> httpx.Response:
        events = [
            {"seq": n, "type": "trial", "timestamp": "2026-01-02T03:04:05Z", "attempt": 1, "data": {"score": n}}
            for n in numbers
        ]
        return httpx.Response(200, json={"object": "list", "data": events, "has_more": more, "last_id": numbers[-1]})

    service = ScriptedService({"/jobs/j1/events": [page(4, 5, more=True), page(6, more=False)]})

    with service.client() as client:
        events = client.events("j1", after=3)

    assert [event.seq for event in events] == [4, 5, 6]
    assert [request.url.params["after"] for request in service.requests] == ["3", "5"]


AsyncUse = Callable[[AsyncClient], Any]


@pytest.mark.parametrize(
    ("path", "answer", "use"),
    [
        ("/health", {"status": "ok"}, lambda c: c.health()),
        ("/jobs/j1", DETAIL, lambda c: c.status("j1")),
        ("/jobs/j1/summary", SUMMARY, lambda c: c.summary("j1")),
        ("/jobs/j1/logs", [], lambda c: c.logs("j1")),
        ("/jobs/j1/usage", USAGE, lambda c: c.usage("j1")),
        ("/jobs/j1/artifact/files/result.json", {}, lambda c: c.artifact_file("j1", "result.json")),
        ("/webhooks/secret", {"secret": "whsec_AA=="}, lambda c: c.webhook_secret()),
        ("/jobs", {"data": [SUMMARY], "has_more": False, "last_id": "j1"}, lambda c: c.jobs(status="running")),
        ("/jobs/j1/cancel", SUMMARY, lambda c: c.cancel("j1")),
        ("/jobs/j1/pause", SUMMARY, lambda c: c.pause("j1")),
        ("/jobs/j1/resume", SUMMARY, lambda c: c.resume("j1")),
        ("/jobs/j1/retry", SUMMARY, lambda c: c.retry("j1")),
        ("/jobs/j1/events", {"data": [], "has_more": False, "last_id": 0}, lambda c: c.events("j1")),
        ("/run", {"job_id": "j1", "status": "pending"}, lambda c: c.submit(subjects.Route, subjects.exact_team, ROWS)),
    ],
)
async def test_the_asynchronous_client_asks_the_same(path: str, answer: Any, use: AsyncUse) -> None:  # noqa: ANN401  # JSON
    service = ScriptedService({path: [httpx.ConnectError("starting"), httpx.Response(200, json=answer)]})

    async with service.async_client() as client:
        await use(client)

    assert [request.url.path for request in service.requests] == [path, path]


async def test_the_asynchronous_client_waits() -> None:
    async with running_then(dict(DETAIL)).async_client() as client:
        assert (await client.wait("j1", poll_seconds=0)).succeeded
