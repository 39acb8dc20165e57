"""Programs with types of the submitter's own: values in and out, and texts that come to the final fields."""

import json
from typing import Any

import dspy
import pytest

from dspy_service.domain.serving.run import RunOptions
from dspy_service.domain.serving.run_events import Failed, FieldDone, Predicted, StatusNoted
from tests.support.hosted import CANARY, confined, hosting, on_server, pickled
from tests.support.openai_server import OpenAIServer, Reply, always, error
from tests.support.served import produced, run_of, texts
from tests.support.served_programs import a_field, an_interface

SOURCE = '''
import datetime
import pydantic

class Person(pydantic.BaseModel):
    name: str
    born: datetime.date

class City(pydantic.BaseModel):
    name: str
    people: list[Person]

class Place(dspy.Signature):
    """Find the city of a person."""

    person: Person = dspy.InputField()
    city: City = dspy.OutputField()
    answer: str = dspy.OutputField()

class Threaded(dspy.Module):
    def __init__(self):
        super().__init__()
        self.find = dspy.Predict(Place)

    def forward(self, person):
        found = self.find(person=person)
        return dspy.Prediction(city=found.city, answer=f"{person.born.year}: {found.answer}")
'''
ANSWER = (
    '[[ ## city ## ]]\n{"name": "Rome", "people": [{"name": "Ada", "born": "1815-12-10"}]}\n\n'
    '[[ ## answer ## ]]\nIt is [[ Rome ]] \U0001f600 "or" so\n\n[[ ## completed ## ]]'
)
TEXT = 'It is [[ Rome ]] \U0001f600 "or" so'
JSON = json.dumps({"city": {"name": "Rome", "people": [{"name": "Ada", "born": "1815-12-10"}]}, "answer": TEXT})
ADA = {"name": "Ada", "born": "1815-12-10"}
INTERFACE = an_interface(
    a_field("person", type_name="Person"),
    a_field("city", "output", type_name="City"),
    a_field("answer", "output"),
)


def _awaited(module: Any) -> dspy.Module:  # noqa: ANN401  # a module of submitted source
    return dspy.Predict(module.Place)


@pytest.mark.parametrize(("adapter", "answer"), [("chat", ANSWER), ("json", JSON)], ids=["chat", "json"])
async def test_values_of_submitted_types_go_in_and_come_out_as_json(adapter: str, answer: str) -> None:
    with OpenAIServer(always(answer)) as server:
        version = confined(INTERFACE, on_server(server), adapter=adapter)
        async with hosting((version, pickled(SOURCE, _awaited))) as (producer, _):
            facts = await produced(producer, run_of(version, inputs={"person": ADA}))
            warm = await produced(producer, run_of(version, inputs={"person": ADA}))
            refused = await produced(producer, run_of(version, inputs={"person": {**ADA, "born": "long ago"}}))

    final = facts[-1]
    assert isinstance(final, Predicted)
    assert final.prediction == {"city": {"name": "Rome", "people": [ADA]}, "answer": TEXT}
    assert (final.answer, final.usage.total_calls if final.usage else 0) == (TEXT, 1)
    assert texts(facts) == {"answer": TEXT}
    assert "1815-12-10" in server.received[0].body["messages"][-1]["content"]
    assert isinstance(refused[-1], Failed)
    assert refused[-1].error.code == "invalid_request"
    assert "person.born" in refused[-1].error.message
    assert len(server.received) == 2
    starts = [[(fact.name, fact.phase) for fact in each if isinstance(fact, StatusNoted)] for each in (facts, warm)]
    assert starts[0] == [("process", "start"), ("process", "end"), *starts[1]]


async def test_a_program_that_cannot_be_awaited_streams_from_a_thread() -> None:
    with OpenAIServer(always(ANSWER)) as server:
        version = confined(INTERFACE, on_server(server))
        async with hosting((version, pickled(SOURCE, lambda module: module.Threaded()))) as (producer, _):
            facts = await produced(producer, run_of(version, inputs={"person": ADA}))

    assert isinstance(facts[-1], Predicted)
    assert facts[-1].answer == f"1815: {TEXT}"
    assert texts(facts) == {"answer": f"1815: {TEXT}"}
    assert [fact.value for fact in facts if isinstance(fact, FieldDone) and fact.field == "answer"] == [
        TEXT,
        f"1815: {TEXT}",
    ]


@pytest.mark.parametrize("build", [_awaited, lambda module: module.Threaded()], ids=["awaited", "threaded"])
async def test_a_failed_call_ends_the_run_in_the_words_of_the_call(build: Any) -> None:  # noqa: ANN401  # a builder
    with OpenAIServer(lambda _body: error(401, message="no such key")) as server:
        version = confined(INTERFACE, on_server(server))
        async with hosting((version, pickled(SOURCE, build))) as (producer, _):
            facts = await produced(producer, run_of(version, inputs={"person": ADA}))

    assert isinstance(facts[-1], Failed)
    assert facts[-1].error.code == "lm_auth"
    assert facts[-1].error.model == "openai/test"
    assert server.base_url not in facts[-1].error.message


async def test_only_the_versions_model_is_asked_with_the_runs_options() -> None:
    with OpenAIServer(lambda _body: Reply(ANSWER)) as server:
        version = confined(INTERFACE, on_server(server, temperature=0.25))
        async with hosting((version, pickled(SOURCE, _awaited))) as (producer, _):
            options = RunOptions(max_tokens=77, seed=5)
            await produced(producer, run_of(version, inputs={"person": ADA}, options=options))

    (asked,) = server.received
    assert (asked.body["model"], asked.body["temperature"]) == ("test", 0.25)
    assert (asked.body.get("max_tokens") or asked.body.get("max_completion_tokens"), asked.body["seed"]) == (77, 5)
    assert CANARY not in str(asked.body)
