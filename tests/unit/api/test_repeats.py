"""A request that is sent again with its key is answered for a day, also when the events of its run are gone."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.bootstrap import Services
from tests.support.chat_serving import ChatServing, chat_serving
from tests.support.echoing import echo
from tests.unit.api.talking import deploy, messages_of, say

KEY = {"idempotency-key": "k1"}
ASK = {"question": "Why?"}


@pytest.fixture
async def serving(services: Services) -> AsyncIterator[ChatServing]:
    await deploy(services)
    async with chat_serving(services, echo) as serving:
        yield serving


def an_hour_later(services: Services) -> None:
    assert isinstance(services.runs, MemoryRunStore)
    now = services.runs.clock()
    services.runs.clock = lambda: now + timedelta(hours=1)


async def told(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.post(path, json=body, headers=KEY)
    assert answer.status_code == 200, answer.text
    return [json.loads(each.data) async for each in EventSource(answer).aiter_sse() if each.data not in {"", "[DONE]"}]


async def test_a_prediction_is_answered_again(
    client: httpx.AsyncClient, serving: ChatServing, services: Services
) -> None:
    first = await client.post("/programs/answers/predict", json=ASK, headers=KEY)
    an_hour_later(services)

    again = await client.post("/programs/answers/predict", json=ASK, headers=KEY)

    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert len(serving.served) == 1


async def test_a_stream_is_told_again_in_few_events(
    client: httpx.AsyncClient, serving: ChatServing, services: Services
) -> None:
    first = await told(client, "/programs/answers/predict/stream", ASK)
    an_hour_later(services)

    again = await told(client, "/programs/answers/predict/stream", ASK)

    assert [each["type"] for each in again] == ["start", "snapshot", "final", "end"]
    assert (again[0], again[-2], again[-1]) == (first[0], first[-2], first[-1])
    texts = {each["field"]: each["text"] for each in again[1]["fields"]}
    assert texts["answer"] == first[-2]["prediction"]["answer"] == "re: Why?"
    assert len(serving.served) == 1


@pytest.mark.parametrize("form", ["v1", "seed000", "seed001", "seed002", "seed003"])
async def test_a_turn_of_a_chat_is_told_again_whole_in_every_form(
    form: str, client: httpx.AsyncClient, serving: ChatServing, services: Services
) -> None:
    path = f"/chat/stream?format={form}"
    first = await told(client, path, {"message": "Why?"})
    an_hour_later(services)

    again = await told(client, path, {"message": "Why?"})

    assert again[-1] == first[-1]
    assert json.dumps(again).count("re: Why?") >= 1
    assert len(serving.served) == 1


async def test_a_chat_completion_is_streamed_again_whole(
    client: httpx.AsyncClient, serving: ChatServing, services: Services
) -> None:
    body = {"model": "answers", "messages": [{"role": "user", "content": "Why?"}], "stream": True}
    first = await told(client, "/chat/completions", body)
    an_hour_later(services)

    again = await told(client, "/chat/completions", body)

    texts = ["".join(each["choices"][0]["delta"].get("content") or "" for each in chunks) for chunks in (first, again)]
    assert texts[0] == texts[1]
    assert "re: Why?" in texts[0]
    assert again[-1]["choices"][0]["finish_reason"] == "stop"
    assert len(serving.served) == 1


async def test_a_turn_that_is_sent_again_is_not_written_again(
    client: httpx.AsyncClient, serving: ChatServing, services: Services
) -> None:
    first = await say(client, {"message": "Why?"}, **KEY)
    an_hour_later(services)

    again = await say(client, {"message": "Why?"}, **KEY)

    assert again == first
    assert await messages_of(client, first["conversation_id"]) == [
        ("user", "Why?", "complete"),
        ("assistant", "re: Why?", "complete"),
    ]
    assert len(serving.served) == 1


@pytest.mark.usefixtures("serving")
async def test_a_run_with_a_key_keeps_its_prediction_and_is_read_from_its_beginning(
    client: httpx.AsyncClient, services: Services
) -> None:
    first = await client.post("/programs/answers/predict", json=ASK, headers=KEY)
    run_id = first.json()["run_id"]
    an_hour_later(services)

    run = (await client.get(f"/runs/{run_id}")).json()
    page = (await client.get(f"/runs/{run_id}/events")).json()
    behind = await client.get(f"/runs/{run_id}/events?starting_after=2")

    assert run["prediction"] == first.json()["prediction"]
    assert [each["type"] for each in page["data"]] == ["start", "snapshot", "final", "end"]
    assert page["has_more"] is False
    assert (behind.status_code, behind.json()["error"]) == (404, "run_log_gone")
