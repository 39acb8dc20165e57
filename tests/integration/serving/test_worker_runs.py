"""A real serving worker carries runs out: it is fast to begin, and everything that was asked for happens in time."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dspy_service.domain.serving.run import RunStatus
from dspy_service.domain.spec import ModelSettings
from tests.support.conversation_samples import a_new_conversation, a_question, a_reply
from tests.support.openai_server import OpenAIServer, Reply
from tests.support.serving_stage import LEASE_SECONDS, ServingStage, exit_of, numbers, serving_stage, signal_to, text_of
from tests.support.valkey import redis_url, valkey_server
from tests.support.waiting import until

__all__ = ["redis_url", "valkey_server"]

WORDS = [f"word{number} " for number in range(200)]
SLOW = Reply(pieces=WORDS, piece_seconds=0.05)
QUICK = Reply(pieces=WORDS[:40], piece_seconds=0.005)


def _answer_as_asked(body: dict[str, object]) -> Reply:
    return SLOW if "slow" in str(body["messages"]) else QUICK


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(_answer_as_asked) as server:
        yield server


@pytest.fixture
async def stage(redis_url: str, tmp_path: Path, provider: OpenAIServer) -> AsyncIterator[ServingStage]:
    async with serving_stage(redis_url, tmp_path) as stage:
        await stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text")
        yield stage


async def ask_slowly(stage: ServingStage) -> str:
    run_id = await stage.ask(inputs={"question": "Be slow."})
    await stage.writes(run_id)
    return run_id


async def test_a_run_is_answered_and_its_log_is_whole(stage: ServingStage) -> None:
    await stage.worker()

    run = await stage.ended(await stage.ask())

    events = await stage.events(run.run_id)
    assert run.status is RunStatus.COMPLETED, run.error
    assert text_of(events) == "".join(QUICK.pieces or ()).strip()
    assert numbers(events) == list(range(1, len(events) + 1))
    assert [event.fact.type for event in events][-2:] == ["final", "end"]


async def test_what_a_run_came_to_stands_in_its_conversation(stage: ServingStage) -> None:
    lost, quick = "conv_1", "conv_2"
    for conversation_id in (lost, quick):
        await stage.conversations.create(a_new_conversation(conversation_id, program="qa"))
        turn = [a_question(1, conversation_id=conversation_id), a_reply(1, conversation_id=conversation_id)]
        await stage.conversations.add("local", turn)
    worker = await stage.worker()

    done = await stage.ended(await stage.ask(conversation_id=quick, message_id="a1"))
    run_id = await stage.ask(conversation_id=lost, message_id="a1", inputs={"question": "Be slow."})
    await stage.writes(run_id)
    for child in worker.children():
        child.send(signal.SIGKILL)
    await stage.ended(run_id)

    async def is_settled() -> bool:
        return (await stage.conversations.messages("local", lost))[-1].status != "writing"

    await until(is_settled)
    answered = (await stage.conversations.messages("local", quick))[-1]
    partial = (await stage.conversations.messages("local", lost))[-1]
    assert (answered.text, answered.status) == (text_of(await stage.events(done.run_id)), "complete")
    assert (partial.text, partial.status) == (text_of(await stage.events(run_id)), "partial")


async def test_a_cancel_closes_the_call_upstream_within_half_a_second(
    stage: ServingStage, provider: OpenAIServer
) -> None:
    await stage.worker()
    run_id = await ask_slowly(stage)
    asked_at = time.monotonic()

    await stage.runs.cancel(run_id, reason="asked")
    run = await stage.ended(run_id)

    [call] = provider.received
    await until(lambda: _is_true(call.closed_at is not None))
    assert call.closed_at is not None
    assert call.closed_at - asked_at < 0.5
    assert run.status is RunStatus.CANCELLED
    assert run.usage is not None
    assert text_of(await stage.events(run_id))


async def test_runs_of_a_killed_process_end_and_others_go_on_elsewhere(stage: ServingStage) -> None:
    worker = await stage.worker()
    run_id = await ask_slowly(stage)
    [child] = worker.children()

    child.send(signal.SIGKILL)
    killed_at = time.monotonic()
    run = await stage.ended(run_id)
    waited = time.monotonic() - killed_at
    after = await stage.ended(await stage.ask())

    assert run.error is not None
    assert (run.error.code, run.error.retryable) == ("worker_lost", True)
    assert waited < LEASE_SECONDS + 4
    assert [event.fact.type for event in await stage.events(run_id)][-2:] == ["error", "end"]
    assert after.status is RunStatus.COMPLETED


async def test_two_processes_share_the_runs_and_each_run_has_one(stage: ServingStage) -> None:
    await stage.worker(processes=2)

    run_ids = [await stage.ask() for _ in range(20)]
    runs = await asyncio.gather(*(stage.ended(run_id) for run_id in run_ids))

    assert {run.status for run in runs} == {RunStatus.COMPLETED}
    assert {run.fence for run in runs} == {1}
    for run_id in run_ids:
        assert text_of(await stage.events(run_id)) == "".join(QUICK.pieces or ()).strip()


async def test_a_worker_of_both_queues_serves_beside_its_jobs_and_ends_in_order(stage: ServingStage) -> None:
    worker = await stage.worker(queues=("jobs", "serving"))

    run = await stage.ended(await stage.ask())
    signal_to(worker, signal.SIGTERM)
    code = await exit_of(worker)

    assert run.status is RunStatus.COMPLETED
    assert code == 0
    assert "Traceback" not in worker.output


async def test_a_frozen_process_that_wakes_up_writes_nothing_more(stage: ServingStage) -> None:
    worker = await stage.worker()
    run_id = await ask_slowly(stage)
    [child] = worker.children()

    os.kill(child.pid, signal.SIGSTOP)
    try:
        second = await stage.worker()
        run = await stage.ended(run_id)
        events = await stage.events(run_id)
    finally:
        os.kill(child.pid, signal.SIGCONT)
    other = await stage.ended(await stage.ask())

    assert run.error is not None
    assert run.error.code == "worker_lost"
    assert second.process.poll() is None
    assert other.status is RunStatus.COMPLETED
    assert await stage.events(run_id) == events


async def _is_true(value: bool) -> bool:  # noqa: FBT001 - a condition
    return value
