"""Readers who leave in the middle of an answer and come back elsewhere, and whether each still has all of it, once."""

import asyncio
import contextlib
import json
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Self

import httpx
from httpx_sse import EventSource, ServerSentEvent

from dspy_service.domain.serving.run_events import RunEvent
from tests.support.openai_server import Body, Reply, Script
from tests.support.serving_stage import numbers, text_of

PREDICT: Final = "/v1/programs/qa/predict/stream"
_WORDS: Final = ("plain ", "zwölf ", "\U0001f600 ", "日本 ", "two\n", "[[ ## ", '"said" ', "{x} ", "\\n ", "a", "\r\n")
_NUMBER: Final = re.compile(r"question (\d+)\.")
_CALM_SECONDS: Final = 0.05
_LOST_ANSWERS: Final = 0.3
"""Of the first answers, lost on their way: they are asked for again."""


def pieces_for(number: int, count: int) -> list[str]:
    """Return how the model writes its answer to a question: always alike, and unlike any other."""
    draw = random.Random(number)  # noqa: S311  # an answer, not a secret
    return [f"<{number}>", *draw.choices(_WORDS, k=count), f"</{number}>"]


def question(number: int) -> str:
    return f"This is question {number}."


def number_of(body: Body) -> int:
    """Return which question a request to the model is about."""
    found = _NUMBER.search(str(body["messages"]))
    assert found is not None, body
    return int(found[1])


def answering(count: int, piece_seconds: float) -> Script:
    """Answer each question with so many pieces."""
    return lambda body: Reply(pieces=pieces_for(number_of(body), count), piece_seconds=piece_seconds)


@dataclass
class Reading:
    """What one reader has put together."""

    number: int
    """Of the question."""
    run_id: str = ""
    last_seq: int = 0
    text: str = ""
    finals: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    """Statuses: there must be one."""
    error_code: str | None = None
    connections: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def is_lost(self) -> bool:
        """Whether its worker died."""
        return self.ends == ["failed"] and self.error_code == "worker_lost"

    def take(self, message: ServerSentEvent) -> None:
        """Take one numbered event."""
        event, seq = json.loads(message.data), int(message.id)
        if seq <= self.last_seq or self.ends:
            self.complaints.append(f"{message.event} {seq} came after {self.last_seq} ({self.ends})")
        self.last_seq = seq
        if message.event == "token":
            if event["offset"] != len(self.text):
                self.complaints.append(f"token {seq} belongs at {event['offset']}, not at {len(self.text)}")
            self.text += event["text"]
        elif message.event == "replace":
            self.text = event["text"]
        elif message.event == "final":
            self.finals.append(event["answer"])
        elif message.event == "error":
            self.error_code = event["error"]["code"]
        elif message.event == "end":
            self.ends.append(event["status"])

    def faults(self, written: str, log: Sequence[RunEvent]) -> list[str]:
        """Return what must not be.

        Args:
            written: The whole answer of the model.
            log: All events of the run, from the store.
        """
        found = list(self.complaints)
        if numbers(list(log)) != list(range(1, len(log) + 1)):
            found.append(f"the log has the numbers {numbers(list(log))}")
        if [event.seq for event in log if event.fact.type == "end"] != [len(log)] or self.last_seq != len(log):
            found.append(f"the log of {len(log)} events does not end once, where the reader ended: {self.last_seq}")
        if text_of(list(log)) != self.text:
            found.append(f"the log says {text_of(list(log))!r}, the reader got {self.text!r}")
        if self.is_lost and self.finals:
            found.append("it was told its final answer, and then that its worker was lost")
        if not (written.startswith(self.text) if self.is_lost else self.ends == ["completed"] and self.text == written):
            found.append(f"{self.ends} {self.error_code}: {self.text!r}, the model wrote {written!r}")
        if not self.is_lost and self.finals != [written]:
            found.append(f"its final answers are {self.finals}, the model wrote {written!r}")
        return [f"question {self.number}, run {self.run_id}: {each}" for each in found]


class Crowd:
    """Asks and reads through several APIs. Belongs to one event loop; an async context manager.

    Args:
        urls: Of the APIs.
        draw: Its whims.
    """

    def __init__(self, urls: Sequence[str], draw: random.Random) -> None:
        limits = httpx.Limits(max_connections=None)
        self._apis = [httpx.AsyncClient(base_url=url, trust_env=False, timeout=60.0, limits=limits) for url in urls]
        self._draw = draw
        self._belongings = AsyncExitStack()
        self.disconnects = 0
        """Answers that were left in the middle."""
        self.readings: list[Reading] = []

    async def __aenter__(self) -> Self:
        for api in self._apis:
            await self._belongings.enter_async_context(api)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._belongings.aclose()

    async def read(self, number: int, *, leaves: int) -> Reading:
        """Ask a question and read its answer to the end, leaving up to so many times; then come back once more."""
        reading = Reading(number)
        self.readings.append(reading)
        while not reading.ends:
            is_patient = reading.connections >= leaves
            await self._connect(reading, None if is_patient else self._draw.randrange(8))
            if not reading.ends:
                self.disconnects += 1
                await asyncio.sleep(self._draw.choice((0.0, self._draw.uniform(0, _CALM_SECONDS))))
        async with self._events(reading) as source:
            if source.response.status_code != httpx.codes.NO_CONTENT:
                reading.complaints.append(f"after the end, there was still {source.response.status_code}")
        return reading

    async def _connect(self, reading: Reading, most: int | None) -> None:
        """Read the rest, or so many events of it."""
        opening = self._events(reading) if reading.run_id else self._asked(reading)
        reading.connections += 1
        async with opening as source:
            if not source.response.is_success:
                await source.response.aread()
                source.response.raise_for_status()
            reading.run_id = source.response.headers["x-run-id"]
            async with aclosing(_numbered(source)) as messages:
                taken = 0
                while most is None or taken < most:
                    message = await anext(messages, None)
                    if message is None:
                        return
                    reading.take(message)
                    taken += 1

    @asynccontextmanager
    async def _asked(self, reading: Reading) -> AsyncIterator[EventSource]:
        """Start the run, sometimes twice: the first answer was lost on its way."""
        api = self._draw.choice(self._apis)
        whims = {"on_disconnect": self._draw.choice(("cancel", "continue")), "options": {"cache": "bypass"}}
        body = {"inputs": {"question": question(reading.number)}, **whims}
        headers = {"accept": "text/event-stream", "idempotency-key": f"question-{reading.number}"}
        if self._draw.random() < _LOST_ANSWERS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._draw.uniform(0, _CALM_SECONDS)):
                    await api.post(PREDICT, json=body, headers=headers)
            self.disconnects += 1
            api = self._draw.choice(self._apis)
        async with api.stream("POST", PREDICT, json=body, headers=headers) as response:
            yield EventSource(response)

    @asynccontextmanager
    async def _events(self, reading: Reading) -> AsyncIterator[EventSource]:
        api = self._draw.choice(self._apis)
        headers = {"accept": "text/event-stream", "last-event-id": str(reading.last_seq)}
        async with api.stream("GET", f"/v1/runs/{reading.run_id}/events", headers=headers) as response:
            yield EventSource(response)


async def _numbered(source: EventSource) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield the events of the run, and no pings."""
    async for message in source.aiter_sse():
        if message.data and message.id and message.event != "ping":
            yield message
