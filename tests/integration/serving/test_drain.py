"""A serving worker that goes away takes nothing with it: what is being written is written to its end, given time."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from httpx_sse import EventSource

from dspy_service.domain.serving.run import RunStatus
from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import OpenAIServer, Reply
from tests.support.serving_apis import serving_apis
from tests.support.serving_crowd import numbered
from tests.support.serving_reading import Reading
from tests.support.serving_stage import DRAIN_SECONDS, ServingStage, exit_of, serving_stage, signal_to, text_of
from tests.support.valkey import redis_url, valkey_server
from tests.support.waiting import until

__all__ = ["redis_url", "valkey_server"]

WORDS = [f"word{number} " for number in range(160)]
SLOW = Reply(pieces=WORDS, piece_seconds=0.05)
QUICK = Reply(pieces=WORDS[:20], piece_seconds=0.02)
SILENT = Reply(pieces=WORDS[:3], delay_seconds=3600)
LONG_SECONDS = "60"


class Model:
    """Answers quickly, slowly, or, until it is told otherwise, not at all."""

    is_silent = True

    def __call__(self, body: dict[str, object]) -> Reply:
        asked = str(body["messages"])
        if "hang" in asked and self.is_silent:
            return SILENT
        return SLOW if "slow" in asked else QUICK


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def provider(model: Model) -> Iterator[OpenAIServer]:
    with OpenAIServer(model) as server:
        yield server


@asynccontextmanager
async def deployed(url: str, folder: Path, provider: OpenAIServer, **settings: str) -> AsyncIterator[ServingStage]:
    async with serving_stage(url, folder, **settings) as stage:
        await stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text")
        yield stage


async def ask(stage: ServingStage, question: str) -> str:
    return await stage.ask(inputs={"question": question})


async def ask_slowly(stage: ServingStage) -> str:
    run_id = await ask(stage, "Be slow.")
    await stage.writes(run_id)
    return run_id


async def asked(provider: OpenAIServer, word: str) -> None:
    """Wait until the model was asked so."""

    async def has_come() -> bool:
        return any(word in str(call.body) for call in provider.received)

    await until(has_come)


async def read(base_url: str, run_id: str) -> Reading:
    """Read a run on one connection, which must not break before the end."""
    reading = Reading(0, run_id)
    async with (
        httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=60.0) as http,
        http.stream("GET", f"/v1/runs/{run_id}/events", headers={"accept": "text/event-stream"}) as response,
        aclosing(numbered(EventSource(response))) as messages,
    ):
        async for message in messages:
            reading.take(message)
    return reading


async def test_a_deploy_during_a_long_answer_loses_nothing(
    redis_url: str, tmp_path: Path, provider: OpenAIServer, model: Model
) -> None:
    async with deployed(redis_url, tmp_path, provider, SERVING_DRAIN_SECONDS=LONG_SECONDS) as stage:
        old = await stage.worker()
        async with serving_apis(stage) as (api,):
            slow, hung = await ask_slowly(stage), await ask(stage, "Please hang.")
            await asked(provider, "hang")
            reader = asyncio.create_task(read(api.base_url, slow))
            model.is_silent = False

            signal_to(old, signal.SIGTERM)
            new = await stage.worker()
            others = [await stage.ended(run_id) for run_id in (hung, await ask(stage, "And now?"))]
            went_on = (await stage.runs.get(slow)).status
            reading = await reader
            code = await exit_of(old)

        owners = [await stage.owner_of(run.run_id) for run in others]
        assert went_on is RunStatus.IN_PROGRESS
        assert [run.status for run in others] == [RunStatus.COMPLETED, RunStatus.COMPLETED]
        assert [run.fence for run in others] == [2, 1]
        assert all(map(new.holds, owners)), owners
        assert reading.faults("".join(WORDS).strip(), await stage.events(slow)) == []
        assert code == 0, old.output


async def test_what_does_not_end_in_time_ends_honestly(redis_url: str, tmp_path: Path, provider: OpenAIServer) -> None:
    async with deployed(redis_url, tmp_path, provider) as stage:
        worker = await stage.worker()
        slow, quick = await ask_slowly(stage), await ask(stage, "And you?")
        await stage.writes(quick)

        told_at = time.monotonic()
        signal_to(worker, signal.SIGTERM)
        code = await exit_of(worker)

        ended = [await stage.runs.get(run_id) for run_id in (quick, slow)]
        assert code == 0
        assert time.monotonic() - told_at < DRAIN_SECONDS + 10
        assert [run.status for run in ended] == [RunStatus.COMPLETED, RunStatus.FAILED]
        assert ended[1].error is not None
        assert (ended[1].error.code, ended[1].error.retryable) == ("worker_lost", True)
        events = await stage.events(slow)
        assert "".join(WORDS).startswith(text_of(events))
        assert [event.fact.type for event in events][-2:] == ["error", "end"]
        assert any(event.fact.type == "status" and event.fact.phase == "drain" for event in events)


async def test_a_cancel_is_heard_while_a_worker_drains(redis_url: str, tmp_path: Path, provider: OpenAIServer) -> None:
    async with deployed(redis_url, tmp_path, provider, SERVING_DRAIN_SECONDS=LONG_SECONDS) as stage:
        worker = await stage.worker()
        slow = await ask_slowly(stage)
        signal_to(worker, signal.SIGTERM)

        await stage.runs.cancel(slow, reason="asked")
        await exit_of(worker)

        assert (await stage.runs.get(slow)).status is RunStatus.CANCELLED


async def test_a_process_that_gets_the_signal_itself_drains_and_is_replaced(
    redis_url: str, tmp_path: Path, provider: OpenAIServer
) -> None:
    async with deployed(redis_url, tmp_path, provider, SERVING_DRAIN_SECONDS=LONG_SECONDS) as stage:
        worker = await stage.worker()
        slow = await ask_slowly(stage)
        before = worker.children()

        for child in before:
            child.send(signal.SIGTERM)
        run = await stage.ended(slow)

        async def is_replaced() -> bool:
            return bool(worker.children()) and not worker.children() & before

        await until(is_replaced, seconds=20)
        after = await stage.ended(await ask(stage, "And now?"))
        assert run.status is RunStatus.COMPLETED
        assert after.status is RunStatus.COMPLETED


async def test_a_run_that_nobody_has_begun_to_answer_outlives_its_worker(
    redis_url: str, tmp_path: Path, provider: OpenAIServer, model: Model
) -> None:
    async with deployed(redis_url, tmp_path, provider, SERVING_DRAIN_SECONDS=LONG_SECONDS) as stage:
        first = await stage.worker()
        run_id = await ask(stage, "Please hang.")
        await asked(provider, "hang")

        told_at = time.monotonic()
        signal_to(first, signal.SIGTERM)
        await exit_of(first)
        waited = time.monotonic() - told_at
        given_back = await stage.runs.get(run_id)
        model.is_silent = False
        await stage.worker()
        run = await stage.ended(run_id)

        assert waited < float(LONG_SECONDS) / 2
        assert given_back.status is RunStatus.QUEUED
        assert (run.status, run.fence) == (RunStatus.COMPLETED, 2)


async def test_the_runs_of_a_process_that_dies_alone_wait_for_no_lease(
    redis_url: str, tmp_path: Path, provider: OpenAIServer
) -> None:
    async with deployed(redis_url, tmp_path, provider, RUN_LEASE_SECONDS="600") as stage:
        worker = await stage.worker(processes=2)
        slow = await ask_slowly(stage)
        owner = await stage.owner_of(slow)
        [victim] = [child for child in worker.children() if f"/{child.pid}:" in owner]

        victim.send(signal.SIGKILL)
        run = await stage.ended(slow)
        after = await stage.ended(await ask(stage, "And now?"))

        assert run.error is not None
        assert (run.error.code, run.error.retryable) == ("worker_lost", True)
        assert [event.fact.type for event in await stage.events(slow)][-2:] == ["error", "end"]
        assert after.status is RunStatus.COMPLETED
