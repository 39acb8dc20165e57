"""An operator's own module: an agent with tools, which thinks in turns."""

import json

from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run_events import FieldDone, Predicted, StatusNoted, TokenWritten
from tests.support.hosted import confined, hosting, on_server
from tests.support.openai_server import OpenAIServer, Reply, in_order
from tests.support.operators import FACTORY, weather_agent
from tests.support.served import produced, run_of
from tests.support.served_programs import a_field, an_interface
from workers.runner.artifact import pickle_program

INTERFACE = an_interface(a_field("question"), a_field("reasoning", "output"), a_field("answer", "output"))


def _step(thought: str, tool: str, **arguments: str) -> Reply:
    return _chat(next_thought=thought, next_tool_name=tool, next_tool_args=json.dumps(arguments))


def _chat(**fields: str) -> Reply:
    return Reply(
        "\n\n".join([*(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()), "[[ ## completed ## ]]"])
    )


async def test_an_agent_streams_its_thoughts_tools_and_answer() -> None:
    replies = [
        _step("I look it up.", "weather", city="Rome"),
        _step("How many live there?", "population", city="Rome"),
        _step("That is all.", "finish"),
        _chat(reasoning="The tool says so.", answer="Sunny for 4000000 people."),
    ]
    with OpenAIServer(in_order(*replies)) as server:
        version = confined(INTERFACE, on_server(server))
        program = (version, pickle_program(weather_agent("question -> answer")))
        async with hosting(program, factories=[FACTORY]) as (producer, _):
            facts = await produced(producer, run_of(version))

    final = facts[-1]
    assert isinstance(final, Predicted)
    assert final.prediction == {"reasoning": "The tool says so.", "answer": "Sunny for 4000000 people."}
    spelled = FieldTexts.of(facts)
    thoughts = [fact for fact in facts if isinstance(fact, FieldDone) and fact.field == "next_thought"]
    assert [(done.turn, done.value) for done in thoughts] == [
        (0, "I look it up."),
        (1, "How many live there?"),
        (2, "That is all."),
    ]
    assert [spelled.text("next_thought", predictor="react", turn=turn) for turn in range(3)] == [
        done.value for done in thoughts
    ]
    assert spelled.text("answer", predictor="extract.predict") == final.answer
    assert {fact.type for fact in facts if isinstance(fact, TokenWritten) and fact.field == "next_thought"} == {
        "reasoning"
    }
    tools = [(fact.name, fact.phase) for fact in facts if isinstance(fact, StatusNoted) and fact.stage == "tool"]
    assert tools == [
        ("weather", "start"),
        ("weather", "end"),
        ("population", "start"),
        ("population", "end"),
        ("finish", "start"),
        ("finish", "end"),
    ]
    assert "It is sunny in Rome." in str(server.received[1].body)
    assert "4000000" in str(server.received[2].body)
