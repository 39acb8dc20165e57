"""How a host ends, by itself or because it must, and what the runs of it and the next ones see."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import Failed, FieldDone, Predicted, RunFact, TokenWritten
from tests.support.hosted import Hosts, confined, hosting, on_server, pickled
from tests.support.openai_server import OpenAIServer, Reply, always
from tests.support.served import produced, run_of
from tests.support.served_programs import an_interface
from tests.support.waiting import until
from workers.serving.produce import Producer

SOURCE = '''
import os, threading, time

class Odd(dspy.Module):
    """Does what the question says."""

    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    async def aforward(self, question):
        if question == "hang":
            while True:
                pass
        if question == "die":
            os._exit(7)
        if question == "raise":
            raise ValueError("that is no question")
        if question == "leave":
            raise SystemExit("bye")
        found = await self.answer.acall(question=question)
        if question == "defy":
            while True:
                try:
                    await __import__("asyncio").sleep(3600)
                except BaseException:
                    pass
        return found
'''
ANSWER = "[[ ## answer ## ]]\nyes it is\n\n[[ ## completed ## ]]"
SLOW = Reply(pieces=["[[ ## answer ## ]]\nyes", " it", " is", "\n\n[[ ## completed ## ]]"], piece_seconds=600.0)


def _odd() -> bytes:
    return pickled(SOURCE, lambda module: module.Odd())


def _failure(facts: list[RunFact]) -> Failed:
    assert isinstance(facts[-1], Failed), facts
    return facts[-1]


async def _answers(producer: Producer, run: Run) -> bool:
    return isinstance((await produced(producer, run))[-1], Predicted)


class Reader:
    """Carries a run out beside the test, until it is closed."""

    def __init__(self, producer: Producer, run: Run) -> None:
        self.facts: list[RunFact] = []
        self._task = asyncio.create_task(self._read(producer.produce(run)))

    async def _read(self, stream: AsyncGenerator[list[RunFact], None]) -> None:
        async with aclosing(stream):
            async for facts in stream:
                self.facts += facts

    async def has_text(self) -> bool:
        return any(isinstance(fact, TokenWritten) for fact in self.facts)

    async def has_value(self) -> bool:
        """Whether the program's predictor has ended; what comes next is its own code."""
        return any(isinstance(fact, FieldDone) for fact in self.facts)

    async def end(self) -> list[RunFact]:
        await self._task
        return self.facts

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_program_that_holds_its_process_is_killed_and_the_others_are_told() -> None:
    with OpenAIServer(lambda _body: SLOW) as server:
        version = confined(an_interface(), on_server(server))
        async with hosting((version, _odd()), silent_seconds=2.0) as (producer, hosts):
            other = Reader(producer, run_of(version, inputs={"question": "why?"}))
            await until(other.has_text, seconds=200)

            held = await produced(producer, run_of(version, inputs={"question": "hang"}))
            told = await other.end()
            server.script = always(ANSWER)
            next_one = await _answers(producer, run_of(version, inputs={"question": "why?"}))

    for facts in (held, told):
        assert (_failure(facts).error.code, _failure(facts).error.retryable) == ("worker_lost", True)
        assert "held it" in _failure(facts).error.message
    assert _failure(told).partial
    assert next_one
    assert len(hosts.children) == 2


async def test_a_process_that_dies_is_named_and_not_started_hot() -> None:
    with OpenAIServer(always(ANSWER)) as server:
        version = confined(an_interface(), on_server(server))
        async with hosting((version, _odd())) as (producer, hosts):
            dead = [await produced(producer, run_of(version, inputs={"question": "die"})) for _ in range(3)]

    assert [_failure(facts).error.code for facts in dead] == ["worker_lost"] * 3
    assert "exit code 7" in _failure(dead[0]).error.message
    assert _failure(dead[2]).error.retry_after_seconds is not None
    assert len(hosts.children) == 2


@pytest.mark.parametrize(("question", "words"), [("raise", "that is no question"), ("leave", "bye")])
async def test_a_program_that_raises_fails_its_own_run_only(question: str, words: str) -> None:
    with OpenAIServer(always(ANSWER)) as server:
        version = confined(an_interface(), on_server(server))
        async with hosting((version, _odd())) as (producer, hosts):
            failed = _failure(await produced(producer, run_of(version, inputs={"question": question})))
            goes_on = await _answers(producer, run_of(version))

    assert failed.error.code == "program_error"
    assert words in failed.error.message
    assert goes_on
    assert len(hosts.children) == 1


async def test_cancelling_a_run_closes_its_call_and_leaves_the_process() -> None:
    with OpenAIServer(lambda _body: SLOW) as server:
        version = confined(an_interface(), on_server(server))
        async with hosting((version, _odd())) as (producer, hosts):
            reader = Reader(producer, run_of(version, inputs={"question": "why?"}))
            await until(reader.has_text, seconds=200)

            await reader.cancel()

            await until(lambda: _closed(server), seconds=30)
            server.script = always(ANSWER)
            goes_on = await _answers(producer, run_of(version))
            assert hosts.alive == 1

    assert reader.facts[-1].type == "usage"
    assert goes_on
    assert len(hosts.children) == 1


async def test_a_run_that_does_not_heed_its_end_costs_the_process() -> None:
    with OpenAIServer(always(ANSWER)) as server:
        version = confined(an_interface(), on_server(server))
        async with hosting((version, _odd()), stop_seconds=1.0) as (producer, hosts):
            reader = Reader(producer, run_of(version, inputs={"question": "defy"}))
            await until(reader.has_value, seconds=200)

            await reader.cancel()

            await until(lambda: _gone(hosts), seconds=60)
            assert await _answers(producer, run_of(version))

    assert len(hosts.children) == 2


async def test_an_idle_process_is_ended_and_a_new_one_serves_the_next_run() -> None:
    with OpenAIServer(always(ANSWER)) as server:
        version = confined(an_interface(), on_server(server))
        async with hosting((version, _odd()), idle_seconds=0.5) as (producer, hosts):
            assert await _answers(producer, run_of(version))
            await until(lambda: _gone(hosts), seconds=60)

            assert await _answers(producer, run_of(version))

    assert len(hosts.children) == 2
    assert hosts.alive == 0


async def test_a_pickle_that_cannot_be_loaded_fails_the_run_and_says_why() -> None:
    version = confined(an_interface(), on_server(OpenAIServer(always(ANSWER))))
    async with hosting((version, b"no pickle")) as (producer, hosts):
        failed = _failure(await produced(producer, run_of(version)))

    assert (failed.error.code, failed.error.retryable) == ("program_error", False)
    assert "cannot be loaded" in failed.error.message
    assert hosts.alive == 0


async def _closed(server: OpenAIServer) -> bool:
    return server.received[0].closed_at is not None


async def _gone(hosts: Hosts) -> bool:
    return hosts.alive == 0
