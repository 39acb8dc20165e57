"""The running platform with one program for the clients of the seeds, over a scripted provider."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dspy
import httpx
import pytest
from httpx_sse import connect_sse

from tests.support.openai_server import OpenAIServer, Received, Reply, error
from tests.support.platforms import platform, short_folder
from tests.support.served import metadata_of
from workers.runner.artifact import state_json

REASONING = "Short waves scatter most."
ANSWER = 'Light scatters [[0]]; see [[ notes ]]:\n"blué𝄞", said Rayleigh \\o/.'
SOURCES = ["doc1.pdf", "doc2.pdf"]
PAGE = "http://localhost:3010"
"""A web page that may call."""
PROVIDER_SECRET = "sk-proj-4f7a9c2e8b1d6053f7a9c2e8b1d60534"  # noqa: S105  # of nobody; in the provider's refusal
QUIET_SECONDS = 12.0
SLOW_PIECES = 400
PROMPT_TOKENS, COMPLETION_TOKENS = 400, 50


def _whole(answer: str) -> str:
    fields = {"reasoning": REASONING, "answer": answer, "sources": json.dumps(SOURCES)}
    return "".join(f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in fields.items()) + "[[ ## completed ## ]]"


def _cut(text: str, size: int = 3) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _as_asked(body: dict[str, Any]) -> Reply:
    asked = str(body["messages"][-1])
    if "be slow" in asked:
        pieces = [f"word{number} " for number in range(SLOW_PIECES)]
        return Reply(pieces=["[[ ## reasoning ## ]]\nSlowly.\n\n[[ ## answer ## ]]\n", *pieces], piece_seconds=0.05)
    if "be wrong" in asked:
        return error(400, message=f"No tokens left for {PROVIDER_SECRET}.")
    pieces = _cut(_whole(ANSWER))
    if "break off" in asked:
        return Reply(pieces=pieces, piece_seconds=0.01, breaks_after=len(pieces) // 2)
    delay = QUIET_SECONDS if "be quiet" in asked else 0.0
    return Reply(pieces=pieces, delay_seconds=delay, prompt_tokens=PROMPT_TOKENS, completion_tokens=COMPLETION_TOKENS)


@dataclass(frozen=True)
class SeedService:
    """A client of the service, and the provider behind its program ``tutor``."""

    http: httpx.Client
    provider: OpenAIServer

    @property
    def url(self) -> str:
        return str(self.http.base_url)

    def read(self, path: str, body: object, *, method: str = "POST") -> list[Any]:
        """Return what a stream told: messages as JSON, and ``[DONE]`` as it stands."""
        sent: dict[str, Any] = {"json": body} if method == "POST" else {"params": body}
        with connect_sse(self.http, method, path, **sent) as source:
            assert source.response.status_code == httpx.codes.OK, source.response.read()
            told = [message.data for message in source.iter_sse() if message.data]
        return [data if data == "[DONE]" else json.loads(data) for data in told]

    def asked(self, words: str) -> Received:
        """Return the last request to the provider whose question holds ``words``."""
        return [each for each in self.provider.received if words in str(each.body["messages"][-1])][-1]


@pytest.fixture(scope="session")
def seeds() -> Iterator[SeedService]:
    """`python main.py`, which serves ``question, history -> reasoning, answer, sources`` by default."""
    settings = {"DEFAULT_PROGRAM": "tutor", "CORS_ORIGINS": PAGE, "DISCONNECT_GRACE_SECONDS": "2"}
    with OpenAIServer(_as_asked) as provider, short_folder() as folder, platform(folder, settings) as program:
        program.wait_until_ready()
        with httpx.Client(base_url=program.base_url, timeout=30, trust_env=False) as http:
            _deploy(http, provider)
            yield SeedService(http, provider)


def _deploy(http: httpx.Client, provider: OpenAIServer) -> None:
    tutor = dspy.ChainOfThought("question, history: dspy.History -> answer, sources: list[str]")
    body = {
        "program": json.loads(state_json(tutor)),
        "program_metadata": json.loads(metadata_of(tutor)),
        "model_config": {"name": "openai/test", "base_url": provider.base_url},
    }
    answer = http.post("/v1/programs/tutor/versions", json=body)
    assert answer.status_code == httpx.codes.CREATED, answer.text
