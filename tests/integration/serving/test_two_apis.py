"""Two API processes on one store: whichever a request reaches can answer it."""

from pathlib import Path

import httpx
import pytest
from httpx_sse import aconnect_sse

from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import OpenAIServer, Reply
from tests.support.serving_apis import serving_apis
from tests.support.serving_stage import serving_stage
from tests.support.valkey import redis_url, valkey_server

__all__ = ["redis_url", "valkey_server"]

WORDS = [f"word{number} " for number in range(40)]
EVENT_STREAM = {"accept": "text/event-stream"}


async def _words(http: httpx.AsyncClient, path: str) -> str:
    async with aconnect_sse(http, "GET", path, headers=EVENT_STREAM) as source:
        told = [message.json() async for message in source.aiter_sse() if message.event == "token"]
    return "".join(token["text"] for token in told)


@pytest.mark.slow
async def test_b19_any_process_answers_what_another_began(redis_url: str, tmp_path: Path) -> None:
    """B19 of the seeds: conversations and runs are in the store, and not in a process."""
    model = Reply(pieces=WORDS, piece_seconds=0.02)
    with OpenAIServer(lambda _body: model) as provider:
        async with serving_stage(redis_url, tmp_path) as stage:
            await stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text")
            await stage.worker()
            async with (
                serving_apis(stage, 2) as apis,
                httpx.AsyncClient(base_url=apis[0].base_url, trust_env=False, timeout=30) as one,
                httpx.AsyncClient(base_url=apis[1].base_url, trust_env=False, timeout=30) as other,
            ):
                made = (await one.post("/conversations", json={})).json()["conversation_id"]
                said = {"message": "Why?", "conversation_id": made}
                async with other.stream("POST", "/chat/stream", json=said) as answer:
                    begun = answer.headers["x-run-id"]
                read = await _words(one, f"/runs/{begun}/events")
                shown = (await one.get(f"/conversations/{made}")).json()["messages"]
                deleted = await other.delete(f"/conversations/{made}")
                gone = await one.get(f"/conversations/{made}")

    assert read == shown[-1]["text"] == "".join(WORDS).strip()
    assert [message["status"] for message in shown] == ["complete", "complete"]
    assert (deleted.status_code, gone.status_code) == (200, 404)
