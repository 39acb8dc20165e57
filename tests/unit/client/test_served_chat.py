"""What the clients say and read of chats and conversations; both clients do the same."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from dspy_service.client import SubmissionError
from dspy_service.client.served_chat import AsyncServedChat, ServedChat
from dspy_service.domain.serving.run import RunOptions
from tests.unit.client.service import ScriptedService

NOW = "2026-01-02T03:04:05.000001Z"
ANSWER: dict[str, Any] = {
    "response": "Hello.",
    "conversation_id": "c1",
    "sources": [],
    "tokens_used": 3,
    "message_id": "m1",
    "run_id": "r1",
    "program": "answers",
    "version": 1,
    "status": "completed",
    "prediction": {"answer": "Hello."},
    "usage": None,
    "cached": False,
    "finish_reason": "stop",
    "mood": "good",
}
VIEW = {
    "conversation_id": "c1",
    "user_id": "",
    "program": "answers",
    "title": None,
    "metadata": {},
    "created_at": NOW,
    "updated_at": NOW,
    "message_count": 0,
    "total_tokens": 0,
    "head_id": None,
    "active_run_id": None,
}
MESSAGE = {"message_id": "m1", "conversation_id": "c1", "role": "assistant", "text": "Hello.", "created_at": NOW}
PAGE = {"object": "list", "data": [VIEW], "conversations": ["c1"], "has_more": False, "last_id": "c1"}

Ask = Callable[[ServedChat], object]
AskAsync = Callable[[AsyncServedChat], Awaitable[object]]

CALLS: list[tuple[str, str, int, Any, Ask, AskAsync]] = [
    ("POST", "/chat", 200, ANSWER, lambda c: c.say("Hi"), lambda c: c.say("Hi")),
    (
        "POST",
        "/conversations/c1/messages/m1/regenerate",
        200,
        ANSWER,
        lambda c: c.regenerate("c1", "m1"),
        lambda c: c.regenerate("c1", "m1"),
    ),
    ("POST", "/conversations", 201, VIEW, lambda c: c.start(title="A"), lambda c: c.start(title="A")),
    (
        "GET",
        "/conversations",
        200,
        PAGE,
        lambda c: c.conversations(user_id="u"),
        lambda c: c.conversations(user_id="u"),
    ),
    (
        "GET",
        "/conversations/c1",
        200,
        {**VIEW, "messages": [MESSAGE]},
        lambda c: c.conversation("c1"),
        lambda c: c.conversation("c1"),
    ),
    (
        "POST",
        "/conversations/c1",
        200,
        VIEW,
        lambda c: c.change("c1", title="B"),
        lambda c: c.change("c1", title="B"),
    ),
    (
        "DELETE",
        "/conversations/c1",
        200,
        {"status": "deleted", "conversation_id": "c1"},
        lambda c: c.delete("c1"),
        lambda c: c.delete("c1"),
    ),
    (
        "POST",
        "/conversations/c1/messages/m1/feedback",
        200,
        MESSAGE,
        lambda c: c.rate("c1", "m1", "up", comment="Yes."),
        lambda c: c.rate("c1", "m1", "up", comment="Yes."),
    ),
    (
        "DELETE",
        "/conversations/c1/messages/m1/feedback",
        200,
        MESSAGE,
        lambda c: c.rate("c1", "m1", None),
        lambda c: c.rate("c1", "m1", None),
    ),
]


@pytest.mark.parametrize(
    ("method", "path", "status", "answer", "ask", "ask_async"),
    CALLS,
    ids=[f"{method} {path}" for method, path, *_ in CALLS],
)
async def test_both_clients_ask_the_same_and_read_the_same(
    method: str, path: str, status: int, answer: object, ask: Ask, ask_async: AskAsync
) -> None:
    service = ScriptedService({path: [httpx.Response(status, json=answer) for _ in range(2)]})

    with service.client() as client:
        found = ask(client.chat)
    async with service.async_client() as client_too:
        found_too = await ask_async(client_too.chat)

    first, second = service.requests
    assert found == found_too
    assert (first.method, first.content, first.url) == (second.method, second.content, second.url)
    assert first.method == method


def test_a_message_says_what_the_options_say() -> None:
    service = ScriptedService({"/chat": [httpx.Response(200, json=ANSWER)]})

    with service.client() as client:
        told = client.chat.say(
            "Hi",
            conversation_id="c1",
            user_id="u",
            options=RunOptions(temperature=0.5),
            multitask_strategy="reject",
            idempotency_key="k",
        )

    assert told.response == "Hello."
    assert service.requests[0].headers["idempotency-key"] == "k"
    assert service.body() == {
        "message": "Hi",
        "conversation_id": "c1",
        "user_id": "u",
        "options": {"temperature": 0.5},
        "multitask_strategy": "reject",
    }


async def test_rows_are_read_line_by_line() -> None:
    rows = [{"question": "a\u2028b", "answer": "é"}, {"question": "c", "answer": "d"}]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    service = ScriptedService({"/conversations/export": [httpx.Response(200, content=content) for _ in range(2)]})

    with service.client() as client:
        found = client.chat.rated_rows(program="answers")
    async with service.async_client() as client_too:
        found_too = await client_too.chat.rated_rows(program="answers")

    assert found == found_too == rows
    assert service.requests[0].url.params["program"] == "answers"


def test_what_is_no_json_is_refused_before_it_is_sent() -> None:
    service = ScriptedService({})

    with service.client() as client, pytest.raises(SubmissionError):
        client.chat.say("Hi", inputs={"n": float("nan")})

    assert service.requests == []
