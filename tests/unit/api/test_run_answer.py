"""An answer is made as long as its client is there."""

import asyncio

from fastapi import Request, Response
from starlette.types import Message

from dspy_service.api.run_answer import CLIENT_GONE, answered


def a_request(gone: asyncio.Event) -> Request:
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": []}, receive)


async def test_a_client_that_stays_gets_the_answer() -> None:
    async def make() -> Response:
        return Response(b"whole")

    answer = await answered(a_request(asyncio.Event()), make())

    assert (answer.status_code, answer.body) == (200, b"whole")


async def test_nothing_is_made_for_a_client_that_has_gone() -> None:
    gone, begun, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def make() -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return Response()

    answering = asyncio.create_task(answered(a_request(gone), make()))
    await begun.wait()
    gone.set()

    assert (await answering).status_code == CLIENT_GONE
    assert stopped.is_set()
