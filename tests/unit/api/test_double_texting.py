"""A second message while the first one is answered: the four strategies."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dspy_service.bootstrap import Services
from tests.support.chat_serving import ChatServing, chat_serving
from tests.support.echoing import echo
from tests.support.waiting import until
from tests.unit.api.talking import deploy, messages_of


@pytest.fixture
async def held(services: Services) -> AsyncIterator[ChatServing]:
    await deploy(services)
    async with chat_serving(services, echo, held=True) as serving:
        yield serving


async def say_twice(
    client: httpx.AsyncClient, held: ChatServing, strategy: str
) -> tuple[httpx.Response, httpx.Response, list[tuple[str, str, str]]]:
    """Say one, and two while it is answered; then let all answers end."""
    made: dict[str, Any] = (await client.post("/conversations", json={})).json()
    path = f"/conversations/{made['conversation_id']}"
    body = {"conversation_id": made["conversation_id"], "multitask_strategy": strategy}

    async def has_both() -> bool:
        return bool((await client.get(path)).json()["message_count"] == 4)

    async with asyncio.TaskGroup() as group:
        one = group.create_task(client.post("/chat", json={**body, "message": "one"}))
        await until(held.has_begun)
        two = group.create_task(client.post("/chat", json={**body, "message": "two"}))
        if strategy in {"interrupt", "rollback"}:
            await one
        elif strategy == "reject":
            await two
        else:
            await until(has_both)
        held.released.set()
    return one.result(), two.result(), await messages_of(client, made["conversation_id"])


async def test_enqueue_waits_and_knows_the_first_answer(client: httpx.AsyncClient, held: ChatServing) -> None:
    one, two, messages = await say_twice(client, held, "enqueue")

    assert (one.json()["response"], two.json()["response"]) == ("re: one", "re: two")
    assert [text for _, text, _ in messages] == ["one", "re: one", "two", "re: two"]
    assert held.served[1].inputs["history"] == {"messages": [{"question": "one", "answer": "re: one"}]}


async def test_reject_answers_409_and_leaves_nothing_of_the_second(
    client: httpx.AsyncClient, held: ChatServing
) -> None:
    one, two, messages = await say_twice(client, held, "reject")

    assert (one.status_code, two.status_code, two.json()["error"]) == (200, 409, "conversation_busy")
    assert held.served[0].run_id in two.json()["detail"]
    assert [text for _, text, _ in messages] == ["one", "re: one"]


async def test_interrupt_keeps_what_was_written(client: httpx.AsyncClient, held: ChatServing) -> None:
    one, two, messages = await say_twice(client, held, "interrupt")

    assert (one.status_code, two.json()["response"]) == (409, "re: two")
    assert [(text, status) for _, text, status in messages] == [
        ("one", "complete"),
        ("re: one", "cancelled"),
        ("two", "complete"),
        ("re: two", "complete"),
    ]
    assert held.served[1].inputs["history"] == {"messages": [{"question": "one", "answer": "re: one"}]}


async def test_rollback_takes_the_first_message_back(client: httpx.AsyncClient, held: ChatServing) -> None:
    one, two, messages = await say_twice(client, held, "rollback")

    assert (one.status_code, two.json()["response"]) == (409, "re: two")
    assert [text for _, text, _ in messages] == ["two", "re: two"]
    assert held.served[1].inputs["history"] == {"messages": []}
