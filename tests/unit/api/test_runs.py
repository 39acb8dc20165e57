"""``/runs``: look at a run, follow or resume its events, end it."""

import asyncio
import json
from datetime import timedelta

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.adapters.run_record import RunTimes
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from dspy_service.domain.serving.run import RunStatus
from tests.support.run_samples import a_new_run, a_token, completed, in_progress, queued
from tests.support.waiting import until
from tests.unit.api.conftest import ADDRESS
from tests.unit.api.keyed import header

STREAM = {"accept": "text/event-stream"}
DONE = ["start", "final", "end"]


@pytest.fixture
def runs(services: Services) -> MemoryRunStore:
    assert isinstance(services.runs, MemoryRunStore)
    return services.runs


async def messages(client: httpx.AsyncClient, path: str, **headers: str) -> list[ServerSentEvent]:
    answer = await client.get(path, headers={**STREAM, **headers})
    assert answer.status_code == 200, answer.text
    return [message async for message in EventSource(answer).aiter_sse() if message.data]


def kinds(told: list[ServerSentEvent]) -> list[str]:
    return [message.event for message in told]


async def test_a_run_is_shown_with_its_prediction(client: httpx.AsyncClient, services: Services) -> None:
    run = await completed(services.runs)

    body = (await client.get(f"/runs/{run.run_id}")).json()

    assert (body["status"], body["prediction"], body["last_seq"]) == ("completed", {"answer": "blue"}, 3)
    assert body["inputs"] == run.inputs
    assert not {"tenant", "key_id", "fence", "idempotency_key", "body_sha256"} & set(body)


async def test_a_run_that_goes_on_has_no_prediction_yet(client: httpx.AsyncClient, services: Services) -> None:
    run = await in_progress(services.runs)

    body = (await client.get(f"/v1/runs/{run.run_id}")).json()

    assert (body["status"], body["prediction"], body["completed_at"]) == ("in_progress", None, None)


@pytest.mark.parametrize("path", ["", "/events", "/cancel"])
async def test_a_run_of_another_tenant_is_not_found(path: str, client: httpx.AsyncClient, services: Services) -> None:
    run = await queued(services.runs, a_new_run(tenant="acme"))
    other = await header(services, tenant="other")
    method = "POST" if path == "/cancel" else "GET"

    foreign = await client.request(method, f"/runs/{run.run_id}{path}", headers=other)
    unknown = await client.request(method, f"/runs/run_0{path}", headers=other)
    odd = await client.request(method, f"/runs/a%20b{path}", headers=other)

    found = [(answer.status_code, answer.json()["error"]) for answer in (foreign, unknown, odd)]
    assert found == [(404, "run_not_found")] * 3
    assert (await services.runs.get(run.run_id)).status is RunStatus.QUEUED


async def test_a_key_needs_the_scope_to_invoke(client: httpx.AsyncClient, services: Services) -> None:
    run = await queued(services.runs, a_new_run(tenant="acme"))

    answer = await client.get(f"/runs/{run.run_id}", headers=await header(services, scopes=[Scope.JOBS_READ]))

    assert answer.status_code == 403


async def test_a_page_holds_the_events_behind_a_number(client: httpx.AsyncClient, services: Services) -> None:
    run = await completed(services.runs)
    path = f"/runs/{run.run_id}/events"

    first = (await client.get(f"{path}?limit=2")).json()
    rest = (await client.get(f"{path}?starting_after={first['last_id']}")).json()
    nothing = (await client.get(f"{path}?starting_after=3")).json()
    only_new = (await client.get(f"{path}?starting_after=-1")).json()

    assert [each["type"] for each in (*first["data"], *rest["data"])] == DONE
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert (nothing["data"], nothing["last_id"]) == ([], 3)
    assert only_new == nothing


async def test_a_stream_of_an_ended_run_tells_it_and_ends(client: httpx.AsyncClient, services: Services) -> None:
    run = await completed(services.runs)

    told = await messages(client, f"/runs/{run.run_id}/events")

    page = (await client.get(f"/runs/{run.run_id}/events")).json()
    assert kinds(told) == DONE
    assert [json.loads(message.data) for message in told] == page["data"]


async def test_a_stream_resumes_where_the_header_says(client: httpx.AsyncClient, services: Services) -> None:
    run = await completed(services.runs)
    path = f"/runs/{run.run_id}/events"

    by_header = await messages(client, path, **{"last-event-id": "2"})
    by_query = await messages(client, f"{path}?starting_after=2")
    by_both = await messages(client, f"{path}?starting_after=0", **{"last-event-id": "2"})
    by_nothing = await messages(client, path, **{"last-event-id": ""})

    assert kinds(by_header) == kinds(by_query) == kinds(by_both) == ["end"]
    assert kinds(by_nothing) == DONE


@pytest.mark.parametrize("seen", [{"last-event-id": "3"}, {"last-event-id": "99"}], ids=["all", "more"])
async def test_a_reader_that_has_seen_the_end_is_told_to_stop(
    seen: dict[str, str], client: httpx.AsyncClient, services: Services
) -> None:
    run = await completed(services.runs)

    answer = await client.get(f"/runs/{run.run_id}/events", headers={**STREAM, **seen})

    assert (answer.status_code, answer.content) == (204, b"")


async def test_only_new_events_are_told_to_who_wants_no_others(services: Services) -> None:
    app = create_app(services)

    async def is_open() -> bool:
        return bool(app.state.open_streams.count)

    run = await in_progress(services.runs)
    await services.runs.append(run.run_id, fence=run.fence, facts=[a_token("old")], batch=1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:
        reading = asyncio.create_task(messages(client, f"/runs/{run.run_id}/events?starting_after=-1"))
        await until(is_open)
        await services.runs.cancel(run.run_id, reason="asked")
        await services.runs.release(run.run_id, fence=run.fence)
        told = await reading

    assert kinds(told) == ["cancelled", "end"]


async def test_events_that_are_not_kept_any_more_are_not_found(
    client: httpx.AsyncClient, services: Services, runs: MemoryRunStore
) -> None:
    run = await completed(runs)
    now = runs.clock()
    runs.clock = lambda: now + timedelta(seconds=RunTimes().log_seconds + 1)

    for headers in (STREAM, {}):
        answer = await client.get(f"/runs/{run.run_id}/events", headers=headers)

        assert (answer.status_code, answer.json()["error"]) == (404, "run_log_gone")
    shown = (await client.get(f"/runs/{run.run_id}")).json()
    assert (shown["status"], shown["prediction"]) == ("completed", None)


@pytest.mark.parametrize("query", ["starting_after=-2", "limit=0", "after=1", "starting_after=x"])
async def test_a_query_that_means_nothing_is_refused(query: str, client: httpx.AsyncClient, services: Services) -> None:
    run = await completed(services.runs)

    answer = await client.get(f"/runs/{run.run_id}/events?{query}")

    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")


@pytest.mark.parametrize("verb", [("POST", "/cancel"), ("DELETE", "")], ids=["post", "delete"])
async def test_a_waiting_run_is_ended_at_once(
    verb: tuple[str, str], client: httpx.AsyncClient, services: Services
) -> None:
    run = await queued(services.runs)
    method, path = verb

    first = await client.request(method, f"/runs/{run.run_id}{path}")
    again = await client.request(method, f"/runs/{run.run_id}{path}")

    assert (first.status_code, first.json()["status"], first.json()["cancel_reason"]) == (202, "cancelled", "asked")
    assert again.json() == first.json()


async def test_a_run_that_is_carried_out_is_asked_to_end(client: httpx.AsyncClient, services: Services) -> None:
    run = await in_progress(services.runs)

    answer = await client.post(f"/runs/{run.run_id}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (202, "in_progress")
    assert await services.runs.wished([run.run_id]) == [run.run_id]


async def test_a_run_that_has_ended_stays_as_it_is(client: httpx.AsyncClient, services: Services) -> None:
    run = await completed(services.runs)

    answer = await client.post(f"/runs/{run.run_id}/cancel")

    assert (answer.status_code, answer.json()["status"], answer.json()["cancel_reason"]) == (202, "completed", None)
