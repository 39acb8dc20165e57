"""Who shares a process: the runs of one version, and nobody else."""

import asyncio
import os
from typing import Any

from dspy_service.domain.serving.run_events import Failed, Predicted, RunFact
from tests.support.hosted import confined, hosting, on_server, pickled
from tests.support.openai_server import Body, OpenAIServer, Reply, always
from tests.support.served import produced, run_of, texts
from tests.support.served_programs import a_field, an_interface

SOURCE = '''
import os

class Telling(dspy.Module):
    """Says in which process it is."""

    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    async def aforward(self, question):
        found = await self.answer.acall(question=question)
        return dspy.Prediction(answer=found.answer, process=os.getpid())
'''
INTERFACE = an_interface(a_field("question"), a_field("answer", "output"), a_field("process", "output", "int"))


def _echo(body: Body) -> Reply:
    asked = next(word for word in body["messages"][-1]["content"].split() if word.startswith("number-"))
    said = ["[[ ## answer ## ]]\n", *(f"{asked}-{piece} " for piece in range(8)), "\n\n[[ ## completed ## ]]"]
    return Reply(pieces=said, piece_seconds=0.002)


def _telling() -> bytes:
    return pickled(SOURCE, lambda module: module.Telling())


def _process(facts: list[RunFact]) -> Any:  # noqa: ANN401  # a number
    assert isinstance(facts[-1], Predicted), facts[-1]
    return facts[-1].prediction["process"]


async def test_runs_that_go_on_together_do_not_mix() -> None:
    with OpenAIServer(_echo) as server:
        version = confined(INTERFACE, on_server(server))
        async with hosting((version, _telling())) as (producer, _):
            runs = [run_of(version, run_id=f"run_{n}", inputs={"question": f"number-{n} ?"}) for n in range(20)]
            told = await asyncio.gather(*(produced(producer, run) for run in runs))

    for number, facts in enumerate(told):
        said = " ".join(f"number-{number}-{piece}" for piece in range(8))
        assert isinstance(facts[-1], Predicted)
        assert facts[-1].answer == said
        assert texts(facts)["answer"] == said
    assert len({_process(facts) for facts in told}) == 1


async def test_versions_and_tenants_have_processes_of_their_own() -> None:
    with OpenAIServer(always("[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]")) as server:
        lm = on_server(server)
        mine = confined(INTERFACE, lm, program="mine", artifact_folder="programs/acme/mine/1")
        theirs = confined(INTERFACE, lm, program="theirs", tenant="other", artifact_folder="programs/other/theirs/1")
        async with hosting((mine, _telling()), (theirs, _telling())) as (producer, hosts):
            told = await asyncio.gather(*(produced(producer, run_of(version)) for version in (mine, theirs, mine)))

    processes = [_process(facts) for facts in told]
    assert processes[0] == processes[2] != processes[1]
    assert os.getpid() not in processes
    assert {child.pid for child in hosts.children} == set(processes)


async def test_the_process_that_was_not_used_for_longest_gives_way_and_a_busy_one_never() -> None:
    slow = Reply(pieces=["[[ ## answer ## ]]\nyes", "\n\n[[ ## completed ## ]]"], piece_seconds=600.0)
    with OpenAIServer(always("[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]")) as server:
        lm = on_server(server)
        first = confined(INTERFACE, lm, program="first", artifact_folder="programs/acme/first/1")
        second = confined(INTERFACE, lm, program="second", artifact_folder="programs/acme/second/1")
        async with hosting((first, _telling()), (second, _telling()), max_hosts=1, place_seconds=0.2) as (
            producer,
            hosts,
        ):
            assert _process(await produced(producer, run_of(first)))
            assert _process(await produced(producer, run_of(second)))
            server.script = lambda _body: slow
            stream = producer.produce(run_of(second))
            await anext(stream)

            refused = (await produced(producer, run_of(first)))[-1]

            await stream.aclose()

    assert len(hosts.children) == 2
    assert isinstance(refused, Failed)
    assert (refused.error.code, refused.error.retryable) == ("overloaded", True)
