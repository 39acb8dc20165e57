"""Readers of one streamed answer each: of the service, and of the bare language model beside it."""

import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx

from benchmarks.support.ticking_model import question

PATH: Final = "/programs/qa/predict/stream"
_MOMENT: Final = re.compile(r"\d+\.\d{6}")
_numbers: Final = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What to ask for."""

    words: int
    pace_ms: int


@dataclass
class Read:
    """What one reader saw; times in milliseconds."""

    number: int
    """Of the question."""
    began: float
    """``time.monotonic``, when it was asked."""
    run_id: str = ""
    first_ms: float = 0.0
    lags_ms: list[float] = field(default_factory=list)
    """From the moment when a word was due until it was here."""

    def take(self, line: str) -> None:
        """Take one line of an event stream, of the service or of the model."""
        if not line.startswith("data: {"):
            return
        event = json.loads(line.removeprefix("data: "))
        if "choices" in event:
            text = "".join(choice["delta"].get("content", "") for choice in event["choices"])
        else:
            self.run_id = self.run_id or event["run_id"]
            text = event["text"] if event["type"] == "token" else ""
        now = time.monotonic()
        if text and not self.first_ms:
            self.first_ms = 1000 * (now - self.began)
        self.lags_ms += [1000 * (now - float(moment)) for moment in _MOMENT.findall(text)]


async def read_bare(http: httpx.AsyncClient, model_url: str, answer: Answer) -> Read:
    """Ask the model itself, and read to the end."""
    number = next(_numbers)
    asked = question(number, words=answer.words, pace_ms=answer.pace_ms)
    body = {"model": "test", "stream": True, "messages": [{"role": "user", "content": asked}]}
    read = Read(number, time.monotonic())
    async with http.stream("POST", f"{model_url}/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            read.take(line)
    return read


async def read_served(http: httpx.AsyncClient, answer: Answer) -> Read:
    """Ask the program, and read along to the end."""
    async with serving(http, answer) as (read, lines):
        async for line in lines:
            read.take(line)
    return read


@asynccontextmanager
async def serving(http: httpx.AsyncClient, answer: Answer) -> AsyncIterator[tuple[Read, AsyncIterator[str]]]:
    """Begin a stream; yield what is known of it, and its lines."""
    number, began = next(_numbers), time.monotonic()
    asked = question(number, words=answer.words, pace_ms=answer.pace_ms)
    async with http.stream("POST", PATH, json={"question": asked}) as response:
        if not response.is_success:
            await response.aread()
            raise SystemExit(f"The service answered {response.status_code}: {response.text}")
        yield Read(number, began), response.aiter_lines()
