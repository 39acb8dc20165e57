"""``POST /programs/{name}/predict`` and ``/predict/stream``: typed calls of a served program."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.keys import Scope
from dspy_service.domain.serving.run import RunError
from dspy_service.domain.serving.run_events import Cancelled, Failed, RunFact, TextReplaced, TokenWritten
from tests.support.run_samples import a_new_run, queued
from tests.support.scripted_serving import Script, ScriptedServing, say, scripted_serving, tell
from tests.support.served_programs import a_field, a_new_version, an_interface
from tests.unit.api.keyed import header

QUESTION = {"question": "Why is the sky blue?"}
PATH = "/programs/answers/predict"


@pytest.fixture
def settings() -> Settings:
    return Settings.model_construct(max_body_bytes=200_000, max_live_runs=1)


@pytest.fixture
async def program(services: Services) -> str:
    version, _ = await services.programs.add_version(a_new_version())
    return version.program


@pytest.fixture
def script() -> Script:
    return say("Because", " of", " light.")


@pytest.fixture
async def serving(services: Services, program: str, script: Script) -> AsyncIterator[ScriptedServing]:
    assert program == "answers"
    async with scripted_serving(services.runs, script) as serving:
        yield serving


async def messages(client: httpx.AsyncClient, path: str, body: object, **headers: str) -> list[ServerSentEvent]:
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return [message async for message in EventSource(answer).aiter_sse() if message.data]


def problems(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {each["field"]: each["message"] for each in answer.json()["detail"]}


async def test_a_program_is_called_with_its_input_fields(client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    answer = await client.post(PATH, json=QUESTION)

    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert body["prediction"] == {"answer": "Because of light."}
    assert (body["program"], body["version"], body["status"]) == ("answers", 1, "completed")
    assert body["run_id"] == answer.headers["x-run-id"] == serving.served[0].run_id
    assert serving.served[0].inputs == QUESTION


async def test_options_stand_beside_the_inputs(client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    asked = {"inputs": QUESTION, "options": {"temperature": 1, "cache": "bypass"}, "on_disconnect": "continue"}

    answer = await client.post(f"/v1{PATH}", json=asked)

    run = serving.served[0]
    assert answer.status_code == 200, answer.text
    assert run.inputs == QUESTION
    assert (run.options.temperature, run.options.cache, run.on_disconnect) == (1, "bypass", "continue")


@pytest.mark.parametrize("name", ["answers@v1", "answers@1", "answers@production"])
async def test_a_version_may_be_named(name: str, client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    answer = await client.post(f"/programs/{name}/predict", json=QUESTION)

    assert answer.status_code == 200, answer.text
    assert serving.served[0].version == 1


async def test_a_program_with_a_field_named_inputs_is_called_by_inputs(
    client: httpx.AsyncClient, services: Services
) -> None:
    fields = an_interface(a_field("inputs", type_name="dict[str, int]"), a_field("answer", "output"))
    await services.programs.add_version(a_new_version("odd", interface=fields))
    async with scripted_serving(services.runs, say("1")) as serving:
        answer = await client.post("/programs/odd/predict", json={"inputs": {"inputs": {"a": 1}}})

    assert answer.status_code == 200, answer.text
    assert serving.served[0].inputs == {"inputs": {"a": 1}}


async def test_wrong_inputs_are_named_and_start_nothing(client: httpx.AsyncClient, services: Services) -> None:
    fields = an_interface(
        a_field("question"),
        a_field("scores", type_name="list[int]"),
        a_field("tone", type_name="Literal['dry', 'warm']"),
        a_field("answer", "output"),
    )
    await services.programs.add_version(a_new_version("typed", interface=fields))

    answer = await client.post("/programs/typed/predict", json={"scores": [1, "two"], "tone": "loud", "extra": 1})

    assert problems(answer) == {
        "extra": "is not an input of this program; they are question, scores, tone",
        "question": "is required (str)",
        "scores.1": "must be a valid integer",
        "tone": "must be 'dry' or 'warm'",
    }
    assert await services.runs.next_run() is None


async def test_wrong_inputs_beside_options_are_named_where_they_stand(client: httpx.AsyncClient, program: str) -> None:
    answer = await client.post(f"/programs/{program}/predict", json={"inputs": {"question": 3}})

    assert problems(answer) == {"inputs.question": "must be a valid string"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"inputs": {}, "options": {"temperature": 3}}, "options.temperature"),
        ({"inputs": {}, "on_disconnect": "explode"}, "on_disconnect"),
        ({"inputs": {}, "batch": [{}]}, "batch"),
        ([1], ""),
    ],
    ids=["temperature", "disconnect", "both", "no object"],
)
async def test_a_malformed_request_is_refused(
    body: object, field: str, client: httpx.AsyncClient, program: str
) -> None:
    answer = await client.post(f"/programs/{program}/predict", json=body)

    assert list(problems(answer)) == [field]


@pytest.mark.parametrize("name", ["nothing", "answers@v2", "answers@beta", "%40", "Answers"])
async def test_an_unknown_program_is_not_found(name: str, client: httpx.AsyncClient, program: str) -> None:
    assert program == "answers"

    answer = await client.post(f"/programs/{name}/predict", json=QUESTION)

    assert (answer.status_code, answer.json()["error"]) == (404, "program_not_found")


async def test_a_program_of_another_tenant_is_not_found(client: httpx.AsyncClient, services: Services) -> None:
    await services.programs.add_version(a_new_version(tenant="acme"))

    answer = await client.post(PATH, json=QUESTION, headers=await header(services, tenant="other"))

    assert (answer.status_code, answer.json()["error"]) == (404, "program_not_found")


async def test_a_key_needs_the_scope_to_invoke(client: httpx.AsyncClient, services: Services, program: str) -> None:
    reader = await header(services, tenant="local", scopes=[Scope.JOBS_READ])

    for path in (f"/programs/{program}/predict", f"/programs/{program}/predict/stream"):
        answer = await client.post(path, json=QUESTION, headers=reader)

        assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (RunError(code="lm_timeout", message="The model took too long."), 504, {}),
        (RunError(code="lm_rate_limited", message="Slow down.", retry_after_seconds=1.2), 429, {"retry-after": "2"}),
        (RunError(code="model_error", message="The model m failed.", model="m", kind="invalid_request"), 502, {}),
        (RunError(code="program_error", message="It failed."), 500, {}),
    ],
    ids=["timeout", "rate", "model", "program"],
)
async def test_a_run_that_fails_is_an_error_with_its_code(
    error: RunError, status: int, headers: dict[str, str], client: httpx.AsyncClient, services: Services, program: str
) -> None:
    async with scripted_serving(services.runs, tell(Failed(error=error, partial=False))) as serving:
        answer = await client.post(f"/programs/{program}/predict", json=QUESTION)

    assert (answer.status_code, answer.json()["error"]) == (status, error.code)
    assert answer.json()["detail"] == f"{error.message} This was run {serving.served[0].run_id}."
    assert headers.items() <= dict(answer.headers).items()


async def test_a_run_past_its_deadline_names_the_option(
    client: httpx.AsyncClient, services: Services, program: str
) -> None:
    async with scripted_serving(services.runs, tell(Cancelled(reason="deadline"))):
        answer = await client.post(f"/programs/{program}/predict", json=QUESTION)

    assert (answer.status_code, answer.json()["error"]) == (504, "deadline_exceeded")
    assert "`deadline_seconds`" in answer.json()["detail"]


async def test_an_answer_that_was_cut_off_says_so(client: httpx.AsyncClient, services: Services, program: str) -> None:
    async with scripted_serving(services.runs, say("Because", finish_reason="length")):
        body = (await client.post(f"/programs/{program}/predict", json=QUESTION)).json()

    assert (body["status"], body["finish_reason"], body["prediction"]) == (
        "incomplete",
        "length",
        {"answer": "Because"},
    )


async def test_a_key_sent_again_with_the_same_body_is_the_same_run(
    client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    key = {"idempotency-key": "k1"}

    first = await client.post(PATH, json=QUESTION, headers=key)
    again = await client.post(PATH, json=QUESTION, headers=key)
    other = await client.post(PATH, json={"question": "And at night?"}, headers=key)

    assert again.json() == first.json()
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert (other.status_code, other.json()["error"]) == (422, "idempotency_key_reused")
    assert len(serving.served) == 1


async def test_a_tenant_with_too_many_runs_is_told_when_to_come_back(
    client: httpx.AsyncClient, services: Services, program: str
) -> None:
    await queued(services.runs, a_new_run(tenant="local"))

    answer = await client.post(
        f"/programs/{program}/predict", json=QUESTION, headers=await header(services, tenant="local")
    )

    assert (answer.status_code, answer.json()["error"]) == (429, "quota_exceeded")
    assert answer.headers["retry-after"] == "1"


async def test_a_stream_tells_every_event_and_ends(client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    told = await messages(client, f"{PATH}/stream", QUESTION)

    run = serving.served[0]
    data = [json.loads(message.data) for message in told]
    assert [message.event for message in told] == [each["type"] for each in data]
    assert (told[0].event, told[-2].event, told[-1].event) == ("start", "final", "end")
    assert {each["run_id"] for each in data} == {run.run_id}
    assert [int(message.id) for message in told] == [each["seq"] for each in data]
    assert "".join(each["text"] for each in data if each["type"] == "token") == "Because of light."
    assert data[-2]["prediction"] == {"answer": "Because of light."}


async def test_a_stream_that_is_asked_for_again_tells_the_same_run(
    client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    first = await messages(client, f"{PATH}/stream", QUESTION, **{"idempotency-key": "k1"})

    again = await messages(client, f"{PATH}/stream", QUESTION, **{"idempotency-key": "k1"})

    assert [message.json()["run_id"] for message in again[:1]] == [serving.served[0].run_id]
    assert [message.event for message in again][-1] == [message.event for message in first][-1] == "end"


async def test_a_stream_passes_retractions_and_errors_on(
    client: httpx.AsyncClient, services: Services, program: str
) -> None:
    error = RunError(code="adapter_parse", message="Not what was asked for.")
    facts: list[RunFact] = [
        TokenWritten(field="answer", predictor="self", text="Wrong", offset=0),
        TextReplaced(field="answer", predictor="self", text=""),
        Failed(error=error, partial=True),
    ]
    async with scripted_serving(services.runs, tell(*facts)):
        told = await messages(client, f"/programs/{program}/predict/stream", QUESTION)

    assert [message.event for message in told] == ["start", "token", "replace", "error", "end"]
    assert told[-2].json()["error"]["code"] == "adapter_parse"
    assert told[-1].json()["status"] == "failed"


async def test_a_stream_of_wrong_inputs_is_refused_before_it_begins(client: httpx.AsyncClient, program: str) -> None:
    answer = await client.post(f"/programs/{program}/predict/stream", json={})

    assert problems(answer) == {"question": "is required (str)"}
