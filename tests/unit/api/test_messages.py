"""Answers are written anew as branches, and rated; rated ones become rows."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dspy_service.bootstrap import Services
from tests.support.chat_serving import ChatServing, chat_serving
from tests.support.echoing import echo
from tests.unit.api.talking import deploy, messages_of, say


@pytest.fixture
async def serving(services: Services) -> AsyncIterator[ChatServing]:
    await deploy(services)
    async with chat_serving(services, echo) as serving:
        yield serving


@pytest.fixture
async def talk(client: httpx.AsyncClient, serving: ChatServing) -> list[Any]:
    """Say one and two, and return both answers."""
    assert not serving.served
    one = await say(client, {"message": "one", "user_id": "ann"})
    return [one, await say(client, {"message": "two", "conversation_id": one["conversation_id"]})]


def path_of(told: dict[str, Any], verb: str) -> str:
    return f"/conversations/{told['conversation_id']}/messages/{told['message_id']}/{verb}"


async def rows(client: httpx.AsyncClient, query: str = "") -> list[Any]:
    answer = await client.get(f"/conversations/export{query}")
    assert answer.headers["content-type"].startswith("application/jsonl")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_an_answer_written_anew_is_another_branch(
    client: httpx.AsyncClient, talk: list[Any], serving: ChatServing
) -> None:
    conversation_id = talk[1]["conversation_id"]

    told = await say(client, {}, path=path_of(talk[1], "regenerate"))

    shown = (await client.get(f"/conversations/{conversation_id}")).json()
    before = (await client.get(f"/conversations/{conversation_id}?head_id={talk[1]['message_id']}")).json()
    assert told["message_id"] != talk[1]["message_id"]
    assert [each["message_id"] for each in shown["messages"]][-1] == told["message_id"]
    assert shown["messages"][:-1] == before["messages"][:-1]
    assert serving.served[-1].inputs == serving.served[-2].inputs
    assert serving.served[-1].options.cache == "bypass"


async def test_a_first_answer_is_written_anew_without_what_came_after(
    client: httpx.AsyncClient, talk: list[Any], serving: ChatServing
) -> None:
    await client.post(path_of(talk[0], "regenerate"))

    assert serving.served[-1].inputs == {"question": "one", "history": {"messages": []}}
    assert [text for _, text, _ in await messages_of(client, talk[0]["conversation_id"])] == ["one", "re: one"]


async def test_an_answer_written_anew_can_be_read_along(client: httpx.AsyncClient, talk: list[Any]) -> None:
    answer = await client.post(path_of(talk[0], "regenerate"), json={"stream": True})

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert '"type":"final"' in answer.text


async def test_only_an_answer_can_be_written_anew_or_rated(client: httpx.AsyncClient, talk: list[Any]) -> None:
    found = (await client.get(f"/conversations/{talk[0]['conversation_id']}")).json()
    question = {**talk[0], "message_id": found["messages"][0]["message_id"]}
    unknown = {**talk[0], "message_id": "msg_9"}

    answers = [
        await client.post(path_of(message, verb), json=body)
        for message in (question, unknown)
        for verb, body in (("regenerate", {}), ("feedback", {"rating": "up"}))
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 404, 404]


async def test_a_rating_is_kept_until_it_is_taken_back(client: httpx.AsyncClient, talk: list[Any]) -> None:
    path = path_of(talk[0], "feedback")

    rated = (await client.post(path, json={"rating": "down", "comment": "Too short."})).json()
    shown = (await client.get(f"/conversations/{talk[0]['conversation_id']}")).json()["messages"][1]
    back = (await client.delete(path)).json()

    assert rated["feedback"] == {"rating": "down", "comment": "Too short.", "expected": None}
    assert shown["feedback"] == rated["feedback"]
    assert back["feedback"] is None


@pytest.mark.parametrize("body", [{}, {"rating": "maybe"}, {"rating": "up", "stars": 5}])
async def test_a_malformed_rating_is_refused(
    client: httpx.AsyncClient, talk: list[Any], body: dict[str, object]
) -> None:
    assert (await client.post(path_of(talk[0], "feedback"), json=body)).status_code == 422


async def test_a_liked_answer_becomes_a_row_with_the_turns_before(client: httpx.AsyncClient, talk: list[Any]) -> None:
    await client.post(path_of(talk[1], "feedback"), json={"rating": "up"})

    assert await rows(client) == [
        {
            "question": "two",
            "history": {"messages": [{"question": "one", "answer": "re: one"}]},
            "answer": "re: two",
            "sources": ["doc1.pdf"],
        }
    ]


async def test_a_corrected_answer_becomes_a_row_and_a_disliked_one_does_not(
    client: httpx.AsyncClient, talk: list[Any]
) -> None:
    expected = {"answer": "Better."}
    await client.post(path_of(talk[0], "feedback"), json={"rating": "down", "expected": expected})
    await client.post(path_of(talk[1], "feedback"), json={"rating": "down"})

    (row,) = await rows(client)

    assert (row["question"], row["answer"]) == ("one", "Better.")


async def test_all_rows_have_the_same_columns(client: httpx.AsyncClient, talk: list[Any]) -> None:
    """What ``POST /run`` asks of a dataset; a correction names only what was wrong."""
    corrected = {"rating": "down", "expected": {"answer": "Better."}}
    await client.post(path_of(talk[0], "feedback"), json=corrected)
    await client.post(path_of(talk[1], "feedback"), json={"rating": "up"})

    found = await rows(client)

    assert [set(row) for row in found] == [{"question", "history", "answer", "sources"}] * 2
    assert [row["sources"] for row in found] == [["doc1.pdf"]] * 2


async def test_rows_can_be_of_one_program_and_of_one_user(client: httpx.AsyncClient, talk: list[Any]) -> None:
    await client.post(path_of(talk[0], "feedback"), json={"rating": "up"})

    assert len(await rows(client, "?program=answers&user_id=ann")) == 1
    assert await rows(client, "?program=other") == []
    assert await rows(client, "?user_id=bob") == []


async def test_what_is_expected_names_outputs_of_the_answer(client: httpx.AsyncClient, talk: list[Any]) -> None:
    body = {"rating": "down", "expected": {"answer": "2", "answr": "2"}}

    refused = await client.post(path_of(talk[0], "feedback"), json=body)

    (problem,) = refused.json()["detail"]
    assert (refused.status_code, problem["field"]) == (422, "expected.answr")
    assert "answer" in problem["message"]
    assert await rows(client) == []


async def test_what_is_expected_has_the_types_of_the_outputs(client: httpx.AsyncClient, talk: list[Any]) -> None:
    body = {"rating": "down", "expected": {"answer": 2, "sources": ["doc2.pdf"]}}

    refused = await client.post(path_of(talk[0], "feedback"), json=body)

    (problem,) = refused.json()["detail"]
    assert refused.status_code == 422
    assert problem == {"field": "expected.answer", "message": "must be a valid string"}
    assert await rows(client) == []


async def test_a_message_that_is_not_there_is_called_one(client: httpx.AsyncClient, talk: list[Any]) -> None:
    path = f"/conversations/{talk[0]['conversation_id']}/messages/msg_none/regenerate"

    answer = await client.post(path)

    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no message 'msg_none'.")
