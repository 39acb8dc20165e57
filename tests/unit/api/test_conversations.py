"""``/conversations``: made, listed, read, changed and deleted; nothing of others is found."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.serving.run import RunStatus
from tests.support.chat_serving import ChatServing, chat_serving
from tests.support.echoing import echo
from tests.support.waiting import until
from tests.unit.api.keyed import header
from tests.unit.api.talking import a_chatting_version, deploy, messages_of, say


@pytest.fixture
async def program(services: Services) -> str:
    await deploy(services)
    return "answers"


@pytest.fixture
async def held(services: Services, program: str) -> AsyncIterator[ChatServing]:
    assert program == "answers"
    async with chat_serving(services, echo, held=True) as serving:
        yield serving


@pytest.mark.usefixtures("program")
async def test_e12_a_conversation_is_made_with_201(client: httpx.AsyncClient) -> None:
    body = {"user_id": "user_456", "title": "Deploying", "metadata": {"team": "a"}}

    answer = await client.post("/conversations", json=body)

    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/conversations/{made['conversation_id']}"
    assert (made["user_id"], made["title"], made["metadata"], made["program"]) == (
        "user_456",
        "Deploying",
        {"team": "a"},
        "answers",
    )


@pytest.mark.usefixtures("program")
async def test_two_conversations_of_one_second_are_two(client: httpx.AsyncClient) -> None:
    made = [(await client.post("/conversations", json={"user_id": "u"})).json() for _ in range(20)]

    assert len({each["conversation_id"] for each in made}) == 20


@pytest.mark.usefixtures("program")
async def test_e10_a_user_finds_his_own_conversations_and_no_others(client: httpx.AsyncClient) -> None:
    for user in ("u_1", "u_1_x", "u_1"):
        await client.post("/conversations", json={"user_id": user})

    found = (await client.get("/conversations?user_id=u_1")).json()
    everybody = (await client.get("/conversations?limit=2")).json()
    rest = (await client.get(f"/conversations?after={everybody['last_id']}")).json()

    assert [each["user_id"] for each in found["data"]] == ["u_1", "u_1"]
    assert found["conversations"] == [each["conversation_id"] for each in found["data"]]
    assert (len(everybody["data"]), everybody["has_more"], len(rest["data"]), rest["has_more"]) == (2, True, 1, False)


async def test_e11_a_conversation_is_read_with_its_messages(client: httpx.AsyncClient, services: Services) -> None:
    await deploy(services)
    async with chat_serving(services, echo):
        told = await say(client, {"message": "  Hello,\nyou ", "user_id": "u"})

    found = (await client.get(f"/conversations/{told['conversation_id']}")).json()

    question, answer = found["messages"]
    assert (found["title"], found["message_count"], found["total_tokens"]) == ("Hello, you", 2, 450)
    assert (question["role"], question["text"], question["fields"]) == (
        "user",
        "  Hello,\nyou ",
        {"question": "  Hello,\nyou "},
    )
    assert (answer["role"], answer["status"], answer["run_id"]) == ("assistant", "complete", told["run_id"])
    assert (answer["message_id"], answer["parent_id"]) == (told["message_id"], question["message_id"])
    assert [source["id"] for source in answer["sources"]] == ["doc1.pdf"]


@pytest.mark.usefixtures("program")
async def test_e13_a_deleted_conversation_is_gone(client: httpx.AsyncClient) -> None:
    made = (await client.post("/conversations", json={})).json()
    path = f"/conversations/{made['conversation_id']}"

    first = await client.delete(path)

    assert (first.status_code, first.json()["status"]) == (200, "deleted")
    assert (await client.delete(path)).status_code == 404
    assert (await client.get(path)).status_code == 404


async def test_a_deleted_conversation_ends_the_run_that_writes_in_it(
    client: httpx.AsyncClient, services: Services, held: ChatServing
) -> None:
    async with asyncio.TaskGroup() as group:
        saying = group.create_task(client.post("/chat", json={"message": "hi"}))
        await until(held.has_begun)
        (conversation_id,) = (await client.get("/conversations")).json()["conversations"]
        await client.delete(f"/conversations/{conversation_id}")

    assert saying.result().status_code == 409
    assert (await services.runs.get(held.served[0].run_id)).status is RunStatus.CANCELLED


@pytest.mark.usefixtures("program")
async def test_title_and_metadata_can_be_changed(client: httpx.AsyncClient) -> None:
    made = (await client.post("/conversations", json={"title": "Old"})).json()
    path = f"/conversations/{made['conversation_id']}"

    changed = (await client.post(path, json={"title": "New"})).json()
    again = (await client.post(path, json={"metadata": {"a": "b"}})).json()

    assert (changed["title"], again["title"], again["metadata"]) == ("New", "New", {"a": "b"})


@pytest.mark.usefixtures("program")
async def test_nothing_is_found_under_the_name_of_another_user(client: httpx.AsyncClient) -> None:
    made = (await client.post("/conversations", json={"user_id": "ann"})).json()
    path = f"/conversations/{made['conversation_id']}"

    answers = [
        await client.get(f"{path}?user_id=bob"),
        await client.post(f"{path}?user_id=bob", json={"title": "x"}),
        await client.delete(f"{path}?user_id=bob"),
        await client.post(f"{path}/messages/m/feedback?user_id=bob", json={"rating": "up"}),
        await client.get("/conversations/conv_1:order"),
        await client.get(f"{path}?head_id=nothing"),
        await client.get("/conversations?after=nothing"),
    ]

    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert (await client.get(f"{path}?user_id=ann")).status_code == 200


async def test_nothing_of_another_tenant_is_found(client: httpx.AsyncClient, services: Services) -> None:
    ours, theirs = await header(services, tenant="acme"), await header(services, tenant="other")
    await deploy(services, a_chatting_version(tenant="acme"))
    made = (await client.post("/conversations", json={}, headers=ours)).json()
    path = f"/conversations/{made['conversation_id']}"

    answers = [await client.get(path, headers=theirs), await client.delete(path, headers=theirs)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert (await client.get("/conversations", headers=theirs)).json()["data"] == []


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"metadata": {"api_key": "sk-1234567890abcdefghij"}}, "secret"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"wrong": "x"}, "wrong"),
        ({"user_id": "u" * 257}, "user_id"),
    ],
    ids=["a secret", "too many pairs", "an unknown field", "a long name"],
)
async def test_a_malformed_conversation_is_refused(
    client: httpx.AsyncClient, body: dict[str, object], word: str
) -> None:
    answer = await client.post("/conversations", json=body)

    assert answer.status_code == 422
    assert word in answer.text


async def test_a_conversation_with_an_unknown_program_is_refused(client: httpx.AsyncClient, program: str) -> None:
    answer = await client.post("/conversations", json={"program": f"{program}@beta"})

    assert answer.status_code == 404


async def test_an_answer_that_is_being_written_is_shown_as_such(client: httpx.AsyncClient, held: ChatServing) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(client.post("/chat", json={"message": "hi"}))
        await until(held.has_begun)
        (found,) = (await client.get("/conversations")).json()["data"]
        during = await messages_of(client, found["conversation_id"])
        held.released.set()

    assert found["active_run_id"] == held.served[0].run_id
    assert during == [("user", "hi", "complete"), ("assistant", "", "writing")]
    assert (await messages_of(client, found["conversation_id"]))[1] == ("assistant", "re: hi", "complete")
