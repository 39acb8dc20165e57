"""Readers who leave in the middle of an answer and come back elsewhere, as often as it takes."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
from httpx_sse import EventSource, ServerSentEvent

from tests.support.serving_questions import Question
from tests.support.serving_reading import Reading

PATIENCE_SECONDS: Final = 90.0
"""Of one reader: the longest answer takes some seconds, and whoever carries it out is lost once."""
_CALM_SECONDS: Final = 0.05
_LOST_ANSWERS: Final = 0.3
"""Of the first answers, lost on their way: they are asked for again."""
_SSE: Final = {"accept": "text/event-stream"}


@dataclass(frozen=True)
class _Call:
    """How a question is asked: each time in the same words."""

    path: str
    params: Mapping[str, str]
    content: bytes
    headers: Mapping[str, str]

    @classmethod
    def of(cls, question: Question, draw: random.Random) -> Self:
        whims: dict[str, Any] = {
            "on_disconnect": draw.choice(("cancel", "continue")),
            "options": {"cache": "bypass"},
        }
        if question.is_chat:
            path, params = "/v1/chat/stream", {"format": "v1"}
            body = {"message": question.text, "program": question.program, **whims}
        else:
            path, params = f"/v1/programs/{question.program}/predict/stream", {}
            body = {"inputs": {"question": question.text}, **whims}
        headers = {"content-type": "application/json", "idempotency-key": f"question-{question.number}"}
        return cls(path, params, json.dumps(body).encode(), {**_SSE, **headers})


class Crowd:
    """Asks and reads through several APIs. Belongs to one event loop; an async context manager.

    Args:
        urls: Of the APIs, any of which may be away for a while.
        draw: Its whims.
    """

    def __init__(self, urls: Sequence[str], draw: random.Random) -> None:
        limits = httpx.Limits(max_connections=None)
        self._apis = [httpx.AsyncClient(base_url=url, trust_env=False, timeout=60.0, limits=limits) for url in urls]
        self._draw = draw
        self._belongings = AsyncExitStack()
        self.disconnects = 0
        """Answers that were left in the middle."""
        self.broken = 0
        """Requests that an API did not answer to their end."""
        self.readings: list[Reading] = []

    async def __aenter__(self) -> Self:
        for api in self._apis:
            await self._belongings.enter_async_context(api)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._belongings.aclose()

    async def read(self, question: Question, *, leaves: int) -> Reading:
        """Ask a question and read its answer to the end, leaving up to so many times; then look at the record."""
        reading = Reading(question.number)
        self.readings.append(reading)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._read_to_the_end(reading, _Call.of(question, self._draw), leaves)
                after = await self._get(f"/v1/runs/{reading.run_id}/events", {**_SSE, **self._place(reading)})
                if after.status_code != httpx.codes.NO_CONTENT:
                    reading.complaints.append(f"after the end, there was still {after.status_code}: {after.text}")
                reading.compare(await self._found(f"/v1/runs/{reading.run_id}"))
                if question.is_chat:
                    conversation = await self._found(f"/v1/conversations/{reading.conversation_id}")
                    reading.compare_message(conversation["messages"][-1], question.answer)
        except TimeoutError:
            reading.complaints.append(f"it got no further than {reading.last_seq} ({reading.ends}) in time")
        except httpx.HTTPStatusError as error:
            reading.complaints.append(f"{error}: {error.response.text}")
        return reading

    async def _read_to_the_end(self, reading: Reading, call: _Call, leaves: int) -> None:
        while not reading.ends:
            is_patient = reading.connections >= leaves
            connected = reading.connections
            try:
                await self._connect(reading, call, None if is_patient else self._draw.randrange(8))
            except httpx.TransportError:
                self.broken += 1
            if not reading.ends:
                self.disconnects += reading.connections - connected
                await asyncio.sleep(self._draw.choice((0.0, self._draw.uniform(0, _CALM_SECONDS))))

    async def _connect(self, reading: Reading, call: _Call, most: int | None) -> None:
        """Read the rest, or so many events of it."""
        if not reading.run_id and self._draw.random() < _LOST_ANSWERS:
            await self._lose_answer(call)
        async with self._events(reading) if reading.run_id else self._asked(call) as response:
            if not response.is_success:
                await response.aread()
                response.raise_for_status()
            reading.connections += 1
            reading.run_id = response.headers["x-run-id"]
            reading.conversation_id = reading.conversation_id or response.headers.get("x-conversation-id", "")
            async with aclosing(numbered(EventSource(response))) as messages:
                taken = 0
                while most is None or taken < most:
                    message = await anext(messages, None)
                    if message is None:
                        return
                    reading.take(message)
                    taken += 1

    async def _lose_answer(self, call: _Call) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._draw.uniform(0, _CALM_SECONDS)), self._asked(call) as response:
                await response.aread()
        self.disconnects += 1

    def _asked(self, call: _Call) -> AbstractAsyncContextManager[httpx.Response]:
        return self._api().stream(
            "POST", call.path, params=call.params, content=call.content, headers=dict(call.headers)
        )

    def _events(self, reading: Reading) -> AbstractAsyncContextManager[httpx.Response]:
        """Go on where the reader was, as a browser says it or as a program does."""
        path = f"/v1/runs/{reading.run_id}/events"
        if self._draw.random() < 0.5:  # a coin
            return self._api().stream("GET", path, headers={**_SSE, **self._place(reading)})
        return self._api().stream("GET", path, params={"starting_after": reading.last_seq}, headers=_SSE)

    async def _found(self, path: str) -> dict[str, Any]:
        return dict((await self._get(path, {})).raise_for_status().json())

    async def _get(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """Ask until an API answers."""
        while True:
            try:
                return await self._api().get(path, headers=dict(headers))
            except httpx.TransportError:
                self.broken += 1
                await asyncio.sleep(_CALM_SECONDS)

    def _api(self) -> httpx.AsyncClient:
        return self._draw.choice(self._apis)

    @staticmethod
    def _place(reading: Reading) -> dict[str, str]:
        return {"last-event-id": str(reading.last_seq)}


async def numbered(source: EventSource) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield the events of the run, and no pings."""
    async for message in source.aiter_sse():
        if message.data and message.id and message.event != "ping":
            yield message
