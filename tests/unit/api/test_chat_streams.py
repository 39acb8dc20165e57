"""``/chat/stream``: the answer as it is written, in the form of whoever reads, for an EventSource too."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from dspy_service.bootstrap import Services
from tests.support.chat_serving import ChatServing, chat_serving
from tests.support.echoing import echo
from tests.unit.api.talking import deploy, messages_of

LISTENING = {"accept": "text/event-stream"}


@pytest.fixture
async def serving(services: Services) -> AsyncIterator[ChatServing]:
    await deploy(services)
    async with chat_serving(services, echo) as serving:
        yield serving


async def read(answer: httpx.Response) -> list[ServerSentEvent]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    return [message async for message in EventSource(answer).aiter_sse()]


async def data_of(answer: httpx.Response) -> list[Any]:
    texts = [message.data for message in await read(answer) if message.data]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


@pytest.mark.usefixtures("serving")
async def test_e8_of_seed_003_a_message_alone_means_typed_events(client: httpx.AsyncClient) -> None:
    told = await data_of(await client.post("/chat/stream", json={"message": "Hello"}))

    assert [each["type"] for each in told] == ["start", "token", "token", "final", "end"]
    assert "".join(each["text"] for each in told if each["type"] == "token") == "re: Hello"


@pytest.mark.usefixtures("serving")
async def test_e8_of_seed_002_a_user_id_means_tokens_and_done(client: httpx.AsyncClient) -> None:
    answer = await client.post("/chat/stream", json={"message": "Hello", "user_id": "u"})
    told = await data_of(answer)

    *tokens, done = told
    assert tokens == [{"token": "re: "}, {"token": "Hello"}]
    assert (done["done"], done["response"], done["sources"]) == (True, "re: Hello", ["doc1.pdf"])
    assert done["conversation_id"] == answer.headers["x-conversation-id"]
    assert done["run_id"] == answer.headers["x-run-id"]


@pytest.mark.usefixtures("serving")
async def test_e8_of_seed_001_a_question_means_chunks_and_complete(client: httpx.AsyncClient) -> None:
    told = await data_of(await client.post("/chat/stream", json={"question": "Hello"}))

    assert [each if each == "[DONE]" else each["type"] for each in told] == ["token", "token", "complete", "[DONE]"]
    assert told[-2]["answer"] == "re: Hello"


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("path", ["/chat/basic", "/api/chat/basic"])
async def test_e2_of_seed_000_a_basic_chat_streams_tokens_sources_and_done(
    client: httpx.AsyncClient, path: str
) -> None:
    told = await data_of(await client.post(path, json={"question": "Hello"}))

    assert [each if each == "[DONE]" else each["type"] for each in told] == [
        "token",
        "token",
        "sources",
        "done",
        "[DONE]",
    ]
    assert (told[-2]["content"], told[-2]["sources"]) == ("re: Hello", ["doc1.pdf"])


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        ("v1", {"type": "start"}),
        ("seed000", {"type": "token", "content": "re: "}),
        ("seed001", {"type": "token", "chunk": "re: "}),
        ("seed002", {"token": "re: "}),
        ("seed003", {"type": "start"}),
    ],
)
async def test_the_query_names_any_form(client: httpx.AsyncClient, wanted: str, first: dict[str, str]) -> None:
    body = {"question": "Hello", "user_id": "u"}

    told = await data_of(await client.post(f"/chat/stream?format={wanted}", json=body))

    assert first.items() <= told[0].items()


@pytest.mark.usefixtures("serving")
async def test_a_chat_that_is_asked_to_stream_does(client: httpx.AsyncClient) -> None:
    told = await data_of(await client.post("/chat", json={"message": "Hello", "stream": True}))

    assert told[-1]["type"] == "end"


@pytest.mark.usefixtures("serving")
async def test_e16_an_event_source_says_something_by_its_address(client: httpx.AsyncClient) -> None:
    answer = await client.get("/chat/stream?message=Hello&user_id=u", headers=LISTENING)

    assert (await data_of(answer))[-1]["response"] == "re: Hello"


async def test_an_event_source_that_comes_back_says_nothing_again(
    client: httpx.AsyncClient, serving: ChatServing
) -> None:
    address = "/chat/stream?message=Hello&user_id=u"
    messages = await read(await client.get(address, headers=LISTENING))
    places = [message.id for message in messages]
    broke_at = places[[message.data for message in messages].index('{"token":"re: "}') + 1]

    rest = await data_of(await client.get(address, headers={**LISTENING, "last-event-id": broke_at}))

    assert [each.get("token") for each in rest] == ["Hello", None]
    assert rest[-1]["response"] == "re: Hello"
    assert len(serving.served) == 1
    (conversation_id,) = (await client.get("/conversations")).json()["conversations"]
    assert len(await messages_of(client, conversation_id)) == 2


@pytest.mark.usefixtures("serving")
async def test_an_event_source_that_has_seen_the_end_is_told_to_stop(client: httpx.AsyncClient) -> None:
    address = "/chat/stream?message=Hello"
    last = (await read(await client.get(address, headers=LISTENING)))[-1].id

    answer = await client.get(address, headers={**LISTENING, "last-event-id": last})

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.usefixtures("serving")
async def test_a_picture_on_a_page_says_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/chat/stream?message=Hello", headers={"accept": "image/*,*/*"})

    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, "Accept")
    assert (await client.get("/conversations")).json()["data"] == []


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("query", ["", "message=a&question=b", "message=a&wrong=b", "message=a&format=seed009"])
async def test_an_address_that_says_nothing_clear_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/chat/stream?{query}", headers=LISTENING)

    assert answer.status_code == 422


@pytest.mark.usefixtures("serving")
async def test_the_place_of_a_run_that_is_gone_is_not_found(client: httpx.AsyncClient) -> None:
    headers = {**LISTENING, "last-event-id": "run_9/3"}

    answer = await client.get("/chat/stream?message=Hello", headers=headers)

    assert answer.status_code == 404
