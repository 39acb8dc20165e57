"""A served program against a real OpenAI-compatible server on loopback: what comes when, and what ends when."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import dspy
import pytest

from dspy_service.domain.serving.program import AdapterName
from dspy_service.domain.serving.run_events import Predicted, RunFact
from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import OpenAIServer, Reply, always, demo_learner
from tests.support.served import kinds, produced, producer_of, run_of, texts, version_of

CHAT_ANSWER = ["[[ ## ", "answer", " ## ]]\n", "Par", "is, of", " course", ".\n\n[[ ## comp", "leted ## ]]"]


def _settings(server: OpenAIServer) -> ModelSettings:
    return ModelSettings(name="openai/test", base_url=server.base_url)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # the condition lives in the server's thread
            await asyncio.sleep(0.005)


async def _until_tokens(stream: AsyncGenerator[list[RunFact], None], count: int) -> list[RunFact]:
    """Read facts until so many tokens are among them."""
    facts: list[RunFact] = []
    while sum(fact.type == "token" for fact in facts) < count:
        facts += await anext(stream)
    return facts


async def test_tokens_come_while_the_model_still_writes() -> None:
    program = dspy.Predict("question -> answer")
    pieces = [*CHAT_ANSWER[:3], *(f"word{n} " for n in range(50))]
    with OpenAIServer(lambda _body: Reply(pieces=pieces, piece_seconds=0.02)) as server:
        version = version_of(program, _settings(server))
        producer = producer_of(program, version)
        async with aclosing(producer.produce(run_of(version))) as stream:
            await _until_tokens(stream, 2)
            sent = server.received[0].pieces_sent
        await producer.aclose()

    assert sent < 20


@pytest.mark.parametrize(
    ("module", "adapter"),
    [
        *((dspy.Predict, adapter) for adapter in ("chat", "json", "xml", "text")),
        *((dspy.ChainOfThought, adapter) for adapter in ("chat", "json", "xml")),
    ],
)
async def test_the_tokens_are_the_prediction(module: type[dspy.Module], adapter: AdapterName) -> None:
    program = module("question -> answer")
    with OpenAIServer(demo_learner()) as server:
        version = version_of(program, _settings(server), adapter=adapter)
        producer = producer_of(program, version)
        facts = await produced(producer, run_of(version))
        await producer.aclose()

    final = facts[-1]
    assert isinstance(final, Predicted)
    assert texts(facts) == final.prediction
    assert final.answer == final.prediction["answer"]
    assert "replace" not in kinds(facts)
    assert len([fact for fact in facts if fact.type == "token"]) > 5


async def test_without_markers_the_first_piece_is_the_first_token() -> None:
    program = dspy.Predict("question -> answer")
    with OpenAIServer(lambda _body: Reply(pieces=["Paris", ", of", " course", ". "], piece_seconds=0.05)) as server:
        version = version_of(program, _settings(server), adapter="text")
        producer = producer_of(program, version)
        async with aclosing(producer.produce(run_of(version))) as stream:
            facts = await _until_tokens(stream, 1)
            sent = server.received[0].pieces_sent
            facts += [fact async for batch in stream for fact in batch]
        await producer.aclose()

    assert sent <= 1  # a piece is counted when it was written
    assert texts(facts) == {"answer": "Paris, of course."}


async def test_a_run_that_is_cancelled_closes_its_connection_at_once_and_counts_what_it_cost() -> None:
    program = dspy.Predict("question -> answer")
    pieces = [*CHAT_ANSWER[:3], *("word " for _ in range(1_000))]
    facts: list[RunFact] = []

    async def read(stream: AsyncGenerator[list[RunFact], None]) -> None:
        async for batch in stream:
            facts.extend(batch)

    with OpenAIServer(lambda _body: Reply(pieces=pieces, piece_seconds=0.02)) as server:
        version = version_of(program, _settings(server))
        producer = producer_of(program, version)
        reading = asyncio.create_task(read(producer.produce(run_of(version))))
        await _until(lambda: any(fact.type == "token" for fact in facts))
        cancelled_at = time.monotonic()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await _until(lambda: server.received[0].closed_at is not None)
        await producer.aclose()

    closed_at = server.received[0].closed_at
    assert closed_at is not None
    assert closed_at - cancelled_at < 0.5
    assert facts[-1].type == "usage"
    assert facts[-1].usage.total_tokens > 10
    assert facts[-1].usage.estimated_calls == 1


async def test_a_run_that_nobody_reads_any_more_is_closed_before_its_first_token_too() -> None:
    program = dspy.Predict("question -> answer")
    with OpenAIServer(always("late", delay_seconds=30)) as server:
        version = version_of(program, _settings(server))
        producer = producer_of(program, version)
        async with aclosing(producer.produce(run_of(version))) as stream:
            await anext(stream)
            await _until(lambda: server.in_flight == 1)
        begun = time.monotonic()
        await producer.aclose()

    assert time.monotonic() - begun < 5


async def test_runs_of_one_program_do_not_mix() -> None:
    program = dspy.ChainOfThought("question -> answer")

    def echo(body: dict[str, object]) -> Reply:
        asked = str(body["messages"]).rpartition("ask-")[2][:4]
        words = [f"{asked}.{n} " for n in range(30)]
        head = ["[[ ## reasoning ## ]]\n", f"because {asked}", "\n\n[[ ## answer ## ]]\n"]
        return Reply(pieces=[*head, *words], piece_seconds=0.002)

    with OpenAIServer(echo) as server:
        version = version_of(program, _settings(server))
        producer = producer_of(program, version)
        runs = [run_of(version, run_id=f"run_{n}", inputs={"question": f"ask-{n:04}"}) for n in range(16)]
        all_facts = await asyncio.gather(*(produced(producer, run) for run in runs))
        await producer.aclose()

    for number, facts in enumerate(all_facts):
        asked = f"{number:04}"
        answer = " ".join(f"{asked}.{n}" for n in range(30))
        assert texts(facts) == {"reasoning": f"because {asked}", "answer": answer}
        assert facts[-1].prediction == texts(facts)
    assert server.peak_in_flight > 1
