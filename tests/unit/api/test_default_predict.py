"""``POST /predict``, ``/predict/stream`` and ``/query``: the default program, in the forms of DSPy's tutorials."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from tests.support.scripted_serving import ScriptedServing, say, scripted_serving
from tests.support.served_programs import a_field, a_new_version, an_interface

TEXT = {"text": "Why is the sky blue?"}


@pytest.fixture
async def serving(services: Services) -> AsyncIterator[ScriptedServing]:
    await services.programs.add_version(a_new_version())
    async with scripted_serving(services.runs, say("Because", " of", " light.")) as serving:
        yield serving


async def data(client: httpx.AsyncClient, path: str) -> list[Any]:
    answer = await client.post(path, json=TEXT)
    assert answer.status_code == 200, answer.text
    messages = [each.removeprefix("data: ") for each in answer.text.split("\n\n") if each.startswith("data: ")]
    assert messages[-1] == "[DONE]"
    return [json.loads(message) for message in messages[:-1]]


async def test_a_text_is_the_question(client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    answer = await client.post("/predict", json=TEXT)

    assert answer.json() == {"status": "success", "data": {"answer": "Because of light."}}
    assert serving.served[0].inputs == {"question": TEXT["text"]}


async def test_a_text_is_the_text_of_a_program_that_takes_one(client: httpx.AsyncClient, services: Services) -> None:
    fields = an_interface(a_field("text"), a_field("question"), a_field("answer", "output"))
    await services.programs.add_version(a_new_version(interface=fields))

    answer = await client.post("/predict", json=TEXT)

    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["detail"]] == ["question"]


async def test_the_fields_of_the_program_are_taken_too(client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    answer = await client.post("/v1/predict", json={"inputs": {"question": "Why?"}, "options": {"seed": 1}})

    assert answer.status_code == 200, answer.text
    assert (serving.served[0].inputs, serving.served[0].options.seed) == ({"question": "Why?"}, 1)


async def test_a_stream_tells_chunks_and_the_prediction(client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    told = await data(client, "/predict/stream")

    assert "".join(each["chunk"] for each in told[:-1]) == "Because of light."
    assert told[-1] == {"prediction": {"answer": "Because of light."}}
    assert len(serving.served) == 1


@pytest.mark.parametrize("path", ["/query", "/v1/query"])
async def test_a_query_tells_tokens_and_the_result(
    path: str, client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    told = await data(client, path)

    assert {each["type"] for each in told[:-1]} == {"token"}
    assert "".join(each["chunk"] for each in told[:-1]) == "Because of light."
    assert told[-1] == {"type": "result", "answer": "Because of light."}
    assert len(serving.served) == 1


@pytest.mark.parametrize("count", [0, 2])
async def test_without_one_program_a_caller_is_told_what_to_do(
    count: int, client: httpx.AsyncClient, services: Services
) -> None:
    for number in range(count):
        await services.programs.add_version(a_new_version(f"qa-{number}"))

    answer = await client.post("/predict", json=TEXT)

    assert (answer.status_code, answer.json()["error"]) == (404, "no_default_program")
    assert ("DSPY_SERVICE_DEFAULT_PROGRAM" if count else "POST /programs/{name}/versions") in answer.json()["detail"]


class TestWithADefault:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(max_body_bytes=200_000, default_program="second@v1")

    async def test_the_operator_says_which_program_is_meant(
        self, client: httpx.AsyncClient, services: Services, serving: ScriptedServing
    ) -> None:
        await services.programs.add_version(a_new_version("second"))

        answer = await client.post("/predict", json=TEXT)

        assert answer.status_code == 200, answer.text
        assert serving.served[0].program == "second"
