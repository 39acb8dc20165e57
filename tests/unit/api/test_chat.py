"""``POST /chat``: a message is answered in its conversation, in the words of each seed."""

from collections.abc import AsyncIterator

import httpx
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from dspy_service.domain.serving.program import ChatMapping
from dspy_service.domain.serving.run import RunError
from dspy_service.domain.serving.run_events import Failed
from tests.support.chat_serving import ChatServing, chat_serving
from tests.support.echoing import echo
from tests.support.served_programs import a_field, a_new_version, an_interface
from tests.unit.api.keyed import header
from tests.unit.api.talking import a_chatting_version, deploy, messages_of, say


@pytest.fixture
async def serving(services: Services) -> AsyncIterator[ChatServing]:
    await deploy(services)
    async with chat_serving(services, echo) as serving:
        yield serving


@pytest.mark.usefixtures("serving")
async def test_e9_a_message_is_answered_in_the_form_of_the_seed(client: httpx.AsyncClient) -> None:
    told = await say(client, {"message": "How do I deploy my app?", "user_id": "user_456"})

    assert (told["response"], told["sources"], told["tokens_used"]) == (
        "re: How do I deploy my app?",
        ["doc1.pdf"],
        450,
    )
    assert told["conversation_id"].startswith("conv_")
    assert (told["program"], told["version"], told["prediction"]["reasoning"]) == ("answers", 1, "Hm.")


async def test_a_conversation_goes_on_with_what_was_said(client: httpx.AsyncClient, serving: ChatServing) -> None:
    first = await say(client, {"message": "one"})
    conversation_id = first["conversation_id"]
    await say(client, {"question": "two", "session_id": conversation_id})

    third = await say(client, {"message": "three", "thread_id": conversation_id})

    assert third["conversation_id"] == conversation_id
    assert serving.served[-1].inputs["history"] == {
        "messages": [{"question": "one", "answer": "re: one"}, {"question": "two", "answer": "re: two"}]
    }
    assert [text for _, text, _ in await messages_of(client, conversation_id)] == [
        "one",
        "re: one",
        "two",
        "re: two",
        "three",
        "re: three",
    ]


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("path", ["/chat", "/v1/chat"])
async def test_e15_versioned_and_plain_paths_are_the_same(client: httpx.AsyncClient, path: str) -> None:
    assert (await say(client, {"message": "hi"}, path=path))["response"] == "re: hi"


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("path", ["/chat/basic", "/api/chat/basic"])
async def test_e2_a_basic_chat_answers_at_once_when_asked_to(client: httpx.AsyncClient, path: str) -> None:
    told = await say(client, {"question": "hi", "mode": "basic", "stream": False}, path=path)

    again = await say(client, {"question": "more", "stream": False, "session_id": told["session_id"]}, path=path)
    assert (told["answer"], told["sources"]) == ("re: hi", ["doc1.pdf"])
    assert again["session_id"] == told["session_id"]


@pytest.mark.usefixtures("serving")
async def test_a_stream_may_be_asked_to_answer_at_once(client: httpx.AsyncClient) -> None:
    assert (await say(client, {"message": "hi", "stream": False}, path="/chat/stream"))["response"] == "re: hi"


@pytest.mark.usefixtures("serving")
async def test_conversations_are_of_users_that_are_equal_and_not_alike(client: httpx.AsyncClient) -> None:
    first = await say(client, {"message": "hi", "user_id": "u_1"})
    asked = {"message": "hi", "conversation_id": first["conversation_id"]}

    foreign = await client.post("/chat", json={**asked, "user_id": "u_1_x"})
    mine = await client.post("/chat", json={**asked, "user_id": "u_1"})

    assert (foreign.status_code, mine.status_code) == (404, 200)
    assert foreign.json()["error"] == "conversation_not_found"


@pytest.mark.parametrize("conversation_id", ["conv_123", "conv_1:order", "é", "../x"])
@pytest.mark.usefixtures("serving")
async def test_an_id_that_was_guessed_is_not_found(client: httpx.AsyncClient, conversation_id: str) -> None:
    answer = await client.post("/chat", json={"message": "hi", "conversation_id": conversation_id})

    assert answer.status_code == 404


async def test_a_conversation_of_another_tenant_is_not_found(client: httpx.AsyncClient, services: Services) -> None:
    ours, theirs = await header(services, tenant="acme"), await header(services, tenant="other")
    for tenant in ("acme", "other"):
        await deploy(services, a_chatting_version(tenant=tenant))
    async with chat_serving(services, echo):
        first = await say(client, {"message": "hi"}, **ours)

        answer = await client.post(
            "/chat", json={"message": "hi", "conversation_id": first["conversation_id"]}, headers=theirs
        )

    assert answer.status_code == 404


@pytest.mark.parametrize("token", [None, "dsk_0123456789abcdef.wrong"], ids=["none", "wrong"])
async def test_b17_who_shows_no_key_that_opens_is_401(
    client: httpx.AsyncClient, services: Services, token: str | None
) -> None:
    await header(services)

    sent = {} if token is None else {"authorization": f"Bearer {token}"}
    answers = [await client.post(path, json={"message": "hi"}, headers=sent) for path in ("/chat", "/chat/stream")]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)


async def test_a_key_without_the_scope_may_not_chat(client: httpx.AsyncClient, services: Services) -> None:
    answer = await client.post(
        "/chat", json={"message": "hi"}, headers=await header(services, scopes=[Scope.JOBS_READ])
    )

    assert answer.status_code == 403


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        pytest.param({}, 422, "message", id="nothing"),
        pytest.param({"message": "a", "question": "b"}, 422, "question", id="two messages"),
        pytest.param({"message": "a", "session_id": "x", "thread_id": "y"}, 422, "session_id", id="two conversations"),
        pytest.param({"message": "a", "wrong": "b"}, 422, "wrong", id="an unknown field"),
        pytest.param({"message": "a", "inputs": {"question": "b"}}, 422, "inputs.question", id="the question twice"),
        pytest.param({"message": "a", "inputs": {"other": 1}}, 422, "inputs.other", id="an unknown input"),
        pytest.param({"question": "a", "mode": "deep"}, 400, "deep", id="deep research"),
        pytest.param({"message": "a", "program": "nothing"}, 404, "nothing", id="an unknown program"),
    ],
)
async def test_what_cannot_be_answered_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, body: dict[str, object], status: int, word: str
) -> None:
    answer = await client.post("/chat", json=body)

    detail = answer.json()["detail"]
    named = detail if isinstance(detail, str) else [problem["field"] for problem in detail]
    assert answer.status_code == status
    assert word in named
    assert (await client.get("/conversations")).json()["data"] == []


async def test_without_a_program_a_caller_hears_what_to_do(client: httpx.AsyncClient) -> None:
    answer = await client.post("/chat", json={"message": "hi"})

    assert answer.status_code == 404
    assert "program" in answer.json()["detail"]


async def test_a_conversation_keeps_to_its_program(client: httpx.AsyncClient, services: Services) -> None:
    await deploy(services, a_chatting_version("first"))
    await deploy(services, a_chatting_version("second"))
    async with chat_serving(services, echo):
        told = await say(client, {"message": "hi", "program": "second@v1"})

        again = await say(client, {"message": "hi", "conversation_id": told["conversation_id"]})

    assert (again["program"], again["version"]) == ("second", 1)


async def test_inputs_beside_the_message_reach_the_program(client: httpx.AsyncClient, services: Services) -> None:
    interface = an_interface(a_field("question"), a_field("context"), a_field("answer", "output"))
    await deploy(services, a_new_version(interface=interface))
    async with chat_serving(services, echo) as serving:
        await say(client, {"message": "hi", "inputs": {"context": "Some text."}})
        await say(client, {"inputs": {"context": "Some text.", "question": "ho"}})

    assert [run.inputs for run in serving.served] == [
        {"question": "hi", "context": "Some text."},
        {"question": "ho", "context": "Some text."},
    ]


async def test_a_program_of_single_messages_does_not_go_on(client: httpx.AsyncClient, services: Services) -> None:
    await deploy(services, a_new_version(chat=ChatMapping(history_policy="reject")))
    async with chat_serving(services, echo):
        told = await say(client, {"message": "hi"})

        answer = await client.post("/chat", json={"message": "more", "conversation_id": told["conversation_id"]})

    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_request")


async def test_a_replayed_message_is_said_once(client: httpx.AsyncClient, serving: ChatServing) -> None:
    body, key = {"message": "hi"}, {"idempotency-key": "k1"}
    first = await say(client, body, **key)

    again = await say(client, body, **key)

    assert again == first
    assert len(serving.served) == 1
    assert len((await client.get("/conversations")).json()["data"]) == 1
    assert len(await messages_of(client, first["conversation_id"])) == 2


@pytest.mark.usefixtures("serving")
async def test_a_key_that_was_used_for_something_else_leaves_nothing(client: httpx.AsyncClient) -> None:
    first = await say(client, {"message": "hi"}, **{"idempotency-key": "k1"})
    body = {"message": "other", "conversation_id": first["conversation_id"]}

    answer = await client.post("/chat", json=body, headers={"idempotency-key": "k1"})

    assert answer.status_code == 422
    assert len(await messages_of(client, first["conversation_id"])) == 2


async def test_a_failed_answer_tells_its_reason_and_no_details(client: httpx.AsyncClient, services: Services) -> None:
    await deploy(services)
    failed = Failed(error=RunError(code="lm_timeout", message="The model took too long."), partial=False)
    async with chat_serving(services, lambda _run: [failed]):
        answer = await client.post("/chat", json={"message": "hi", "user_id": "u"})

    (conversation_id,) = (await client.get("/conversations?user_id=u")).json()["conversations"]
    assert answer.status_code == 504
    assert answer.json()["detail"].startswith("The model took too long. This was run run_")
    assert await messages_of(client, conversation_id) == [("user", "hi", "complete"), ("assistant", "", "failed")]
