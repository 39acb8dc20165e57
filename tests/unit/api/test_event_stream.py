"""``GET /jobs/{job_id}/events`` with ``Accept: text/event-stream``: the same events as messages, with an end."""

import json
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.api.sse import wants_stream, write
from dspy_service.domain.artifact_paths import EVENTS
from tests.support import working
from tests.unit.api.payloads import payload

STREAM = {"accept": "text/event-stream"}


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> str:
    return str((await client.post("/run", json=payload())).json()["job_id"])


@pytest.fixture
async def ended(job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore) -> str:
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))
    return job_id


async def messages(client: httpx.AsyncClient, path: str, **headers: str) -> list[ServerSentEvent]:
    answer = await client.get(path, headers={**STREAM, **headers})
    assert answer.status_code == 200, answer.text
    found = [message async for message in EventSource(answer).aiter_sse()]
    return [message for message in found if message.data]  # the first one sets the pause before a reconnect


def kinds(found: list[ServerSentEvent]) -> list[str]:
    return [message.event for message in found]


async def test_every_event_is_a_message_and_the_last_message_is_the_end(ended: str, client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/jobs/{ended}/events")).json()

    *told, end = await messages(client, f"/jobs/{ended}/events")

    assert [json.loads(message.data) for message in told] == page["data"]
    assert [message.id for message in told] == [str(event["seq"]) for event in page["data"]]
    assert kinds(told) == [event["type"] for event in page["data"]]
    assert end.event == "end"
    assert json.loads(end.data) == {"status": "success", "termination_reason": "completed", "last_id": 7}


async def test_the_head_tells_proxies_to_keep_their_hands_off(ended: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/jobs/{ended}/events", headers=STREAM)

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-store, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.startswith("retry: 1500\n\n")


@pytest.mark.parametrize("archived", [False, True])
async def test_a_stream_resumes_behind_the_last_number(
    archived: bool,  # noqa: FBT001  # a case
    ended: str,
    client: httpx.AsyncClient,
    jobs: MemoryJobStore,
    artifacts: MemoryArtifactStore,
) -> None:
    if archived:
        await working.archive(jobs, artifacts, ended)
    path = f"/jobs/{ended}/events"

    by_header = await messages(client, path, **{"last-event-id": "5"})
    by_query = await messages(client, f"{path}?starting_after=5")
    by_both = await messages(client, f"{path}?after=1", **{"last-event-id": "5"})
    at_the_end = await messages(client, path, **{"last-event-id": "7"})

    assert [message.id for message in by_header[:-1]] == ["6", "7"]
    assert kinds(by_header) == kinds(by_query) == kinds(by_both) == ["progress", "state", "end"]
    assert kinds(at_the_end) == ["end"]


async def test_a_whole_archived_story_is_told(
    ended: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    before = await messages(client, f"/jobs/{ended}/events")

    await working.archive(jobs, artifacts, ended)

    after = await messages(client, f"/jobs/{ended}/events")
    assert [(told.event, told.id, told.data) for told in after] == [(told.event, told.id, told.data) for told in before]


async def test_a_retried_job_is_told_across_its_ends(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.fail(jobs, job_id, await working.start(jobs, job_id))
    await working.archive(jobs, artifacts, job_id)
    await client.post(f"/jobs/{job_id}/retry")
    await working.succeed(jobs, artifacts, job_id, await working.start(jobs, job_id))

    *told, end = await messages(client, f"/jobs/{job_id}/events")

    statuses = [json.loads(message.data)["data"]["status"] for message in told if message.event == "state"]
    assert statuses == [
        *("pending", "validating", "running", "failed"),
        *("pending", "validating", "running", "success"),
    ]
    assert [int(message.id or 0) for message in told] == list(range(1, len(told) + 1))
    assert json.loads(end.data)["status"] == "success"


async def test_numbers_that_are_gone_are_told(ended: str, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    del jobs._records[ended].events[:4]

    told = await messages(client, f"/jobs/{ended}/events?after=1")
    page = (await client.get(f"/jobs/{ended}/events?after=1")).json()

    assert told[0].event == "gap"
    assert json.loads(told[0].data) == page["gap"] == {"from": 2, "to": 4}
    assert [message.id for message in told[1:-1]] == ["5", "6", "7"]
    assert [event["seq"] for event in page["data"]] == [5, 6, 7]


async def test_a_page_ends_before_a_gap_and_the_next_one_starts_with_it(
    ended: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    del jobs._records[ended].events[2:4]

    first = (await client.get(f"/jobs/{ended}/events")).json()
    second = (await client.get(f"/jobs/{ended}/events?after={first['last_id']}")).json()

    assert ([event["seq"] for event in first["data"]], first["gap"], first["has_more"]) == ([1, 2], None, True)
    assert ([event["seq"] for event in second["data"]], second["gap"]) == ([5, 6, 7], {"from": 3, "to": 4})


async def test_when_all_is_gone_the_gap_reaches_to_the_end(
    ended: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    jobs._records[ended].events.clear()

    page = (await client.get(f"/jobs/{ended}/events?after=3")).json()
    told = await messages(client, f"/jobs/{ended}/events?after=3")

    assert (page["data"], page["gap"], page["last_id"]) == ([], {"from": 4, "to": 7}, 7)
    assert kinds(told) == ["gap", "end"]


async def test_a_changed_archive_ends_the_stream_with_an_error(
    ended: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    await working.archive(jobs, artifacts, ended)
    for path in [path for path in artifacts.files if path.endswith(EVENTS)]:
        artifacts.files[path] = b" " + artifacts.files[path]

    [error] = await messages(client, f"/jobs/{ended}/events")

    assert error.event == "error"
    assert json.loads(error.data)["error"] == "artifact_corrupt"
    assert json.loads(error.data)["request_id"]


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("", {"last-event-id": "x"}, "last-event-id"),
        ("", {"last-event-id": "-1"}, "last-event-id"),
        ("?starting_after=x", {}, "starting_after"),
        ("?since=1", {}, "since"),
    ],
)
async def test_a_cursor_that_is_none_is_refused(
    query: str, headers: dict[str, str], field: str, ended: str, client: httpx.AsyncClient
) -> None:
    answer = await client.get(f"/jobs/{ended}/events{query}", headers={**STREAM, **headers})

    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert answer.json()["detail"][0]["field"] == field


async def test_an_empty_number_is_none(ended: str, client: httpx.AsyncClient) -> None:
    told = await messages(client, f"/jobs/{ended}/events?after=5", **{"last-event-id": ""})

    assert [message.id for message in told[:-1]] == ["6", "7"]


async def test_a_page_behind_the_newest_event_says_where_the_log_ends(ended: str, client: httpx.AsyncClient) -> None:
    page = (await client.get(f"/jobs/{ended}/events?after=1000")).json()

    assert (page["data"], page["last_id"], page["gap"], page["has_more"]) == ([], 7, None, False)


async def test_an_unknown_job_is_an_ordinary_404(client: httpx.AsyncClient) -> None:
    answer = await client.get("/jobs/01890000-0000-7000-8000-000000000000/events", headers=STREAM)

    assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/event-stream", True),
        ("application/json, Text/Event-Stream;q=0.5", True),
        ("*/*", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream; charset=utf-8; Q = 0.000, application/json", False),
        ("text/event-stream;q=0.01", True),
        ("application/json", False),
        ("", False),
    ],
)
def test_only_who_asks_for_a_stream_gets_one(accept: str, wanted: bool) -> None:  # noqa: FBT001  # a case
    assert wants_stream(accept) is wanted


def test_nothing_new_is_a_comment_that_no_client_takes_for_an_event() -> None:
    assert write(None) == b": still there\n\n"


async def test_a_line_break_in_a_log_stays_in_its_message(
    job_id: str, client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    fence = await working.start(jobs, job_id)
    event: Any = working.EVENTS_OF_A_RUN[1].model_copy(update={"data": {"message": "a\r\ndata: b\n\nid: 99"}})
    await jobs.append(job_id, fence=fence, events=[event])
    await working.fail(jobs, job_id, fence)

    told = await messages(client, f"/jobs/{job_id}/events?after=6")

    assert json.loads(told[0].data)["data"]["message"] == "a\r\ndata: b\n\nid: 99"
    assert [message.id for message in told[:-1]] == ["7", "8"]
