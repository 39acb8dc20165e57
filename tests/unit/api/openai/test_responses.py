"""``/v1/responses``, asked by OpenAI's own client."""

from datetime import timedelta
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.adapters.run_record import RunTimes
from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import RunError
from dspy_service.domain.serving.run_events import Failed, Predicted
from tests.support.run_samples import a_new_run, queued
from tests.support.scripted_serving import ScriptedServing, say, scripted_serving, tell
from tests.support.served_programs import a_new_version
from tests.unit.api.keyed import make_key

USAGE = Usage(roles={"main": RoleUsage(model="m", prompt_tokens=20, completion_tokens=3)})
WHOLE = Predicted(prediction={"reasoning": "Rayleigh.", "answer": "Light."}, answer="Light.", usage=USAGE)
QUESTION = "Why is the sky blue?"


async def events(user: openai.AsyncOpenAI, **changes: Any) -> list[ResponseStreamEvent]:  # noqa: ANN401  # a body
    stream = await user.responses.create(model="answers", input=QUESTION, stream=True, **changes)
    return [each async for each in stream]


async def resumed(user: openai.AsyncOpenAI, response_id: str, after: int = 0) -> list[ResponseStreamEvent]:
    stream = await user.responses.retrieve(response_id, stream=True, starting_after=after)
    return [each async for each in stream]


def text_of(found: list[ResponseStreamEvent]) -> str:
    return "".join(each.delta for each in found if each.type == "response.output_text.delta")


async def test_a_program_gives_a_response(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    async with scripted_serving(services.runs, tell(WHOLE)) as serving:
        response = await user.responses.create(
            model=program.program, input=QUESTION, instructions="Be rude.", max_output_tokens=9, metadata={"a": "b"}
        )

    Response.model_validate(response.to_dict())
    assert (response.output_text, response.status, response.model) == ("Light.", "completed", "answers@v1")
    assert [each.type for each in response.output] == ["reasoning", "message"]
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (20, 3, 23)
    assert (response.metadata, response.instructions, response.max_output_tokens) == ({"a": "b"}, "Be rude.", 9)
    assert response.to_dict()["warnings"] == ["system message: this program keeps to its own instructions"]
    assert serving.served[0].inputs["question"] == QUESTION
    assert serving.served[0].options.max_tokens == 9


async def test_a_response_can_be_asked_for_again(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    made = await user.responses.create(model="answers", input=QUESTION)

    found = await user.responses.retrieve(made.id)

    assert found.to_dict() == made.to_dict()
    assert found.id == serving.served[0].run_id.replace("run_", "resp_")


async def test_the_words_come_one_by_one(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    found = await events(user)

    kinds = list(dict.fromkeys(each.type for each in found))
    assert text_of(found) == "Because of light."
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_item.done",
        "response.output_text.done",
        "response.content_part.done",
        "response.completed",
    ]
    assert len(serving.served) == 1


async def test_openais_own_accumulator_comes_to_the_same_answer(
    user: openai.AsyncOpenAI, serving: ScriptedServing
) -> None:
    async with user.responses.stream(model="answers", input=QUESTION) as stream:
        texts = [each.delta async for each in stream if each.type == "response.output_text.delta"]
        whole = await stream.get_final_response()

    assert whole.output_text == "".join(texts) == "Because of light."
    assert len(serving.served) == 1


async def test_a_stream_goes_on_behind_every_number(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    whole = await events(user)
    response_id = serving.served[0].run_id.replace("run_", "resp_")

    for place, event in enumerate(whole):
        rest = await resumed(user, response_id, event.sequence_number)

        assert text_of(whole[: place + 1]) + text_of(rest) == "Because of light."
        assert [each.type for each in rest if each.type != "response.output_text.delta"] == [
            each.type for each in whole[place + 1 :] if each.type != "response.output_text.delta"
        ]
    assert text_of(await resumed(user, response_id)) == "Because of light."


async def test_a_background_response_is_answered_at_once_and_goes_on(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    made = await user.responses.create(model=program.program, input=QUESTION, background=True)
    async with scripted_serving(services.runs, say("Light.")) as serving:
        found = await resumed(user, made.id)

    ended = await user.responses.retrieve(made.id)
    assert (made.status, made.background, made.output) == ("queued", True, [])
    assert text_of(found) == "Light."
    assert (ended.status, ended.output_text) == ("completed", "Light.")
    assert serving.served[0].on_disconnect == "continue"


async def test_a_response_is_cancelled(user: openai.AsyncOpenAI, program: ProgramVersion) -> None:
    made = await user.responses.create(model=program.program, input=QUESTION, background=True)

    cancelled = await user.responses.cancel(made.id)
    again = await user.responses.cancel(made.id)
    found = await resumed(user, made.id)

    assert (cancelled.status, again.status) == ("cancelled", "cancelled")
    assert found[-1].type == "response.incomplete"
    assert found[-1].response.status == "cancelled"


async def test_the_items_of_a_request_are_listed(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    sent: Any = [
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "Ada."},
        {"role": "user", "content": [{"type": "input_text", "text": "Why?"}]},
    ]
    made = await user.responses.create(model="answers", input=sent)

    items = [each async for each in user.responses.input_items.list(made.id)]

    told = [each.to_dict() for each in items]
    assert [each["content"][0]["text"] for each in told] == ["Who are you?", "Ada.", "Why?"]  # type: ignore[index]  # JSON
    assert [each["role"] for each in told] == ["user", "assistant", "user"]
    turns = {"messages": [{"question": "Who are you?", "answer": "Ada."}]}
    assert serving.served[0].inputs == {"question": "Why?", "history": turns}


async def test_a_response_goes_on_from_an_earlier_one(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    first = await user.responses.create(model="answers", input="One?")
    second = await user.responses.create(model="answers", input="Two?", previous_response_id=first.id)
    third = await user.responses.create(model="answers", input="Three?", previous_response_id=second.id)

    answer = "Because of light."
    turns = [{"question": "One?", "answer": answer}, {"question": "Two?", "answer": answer}]
    assert serving.served[2].inputs == {"question": "Three?", "history": {"messages": turns}}
    assert third.previous_response_id == second.id


async def test_a_program_without_history_gets_earlier_turns_before_the_message(
    user: openai.AsyncOpenAI, services: Services
) -> None:
    await services.programs.add_version(a_new_version("single"))
    async with scripted_serving(services.runs, say("1.")) as serving:
        first = await user.responses.create(model="single", input="One?")
        second = await user.responses.create(model="single", input="Two?", previous_response_id=first.id)
        await user.responses.create(model="single", input="Three?", previous_response_id=second.id)

    told = "User: One?\nAssistant: 1.\nUser: Two?\nAssistant: 1.\nUser: Three?"
    assert serving.served[2].inputs == {"question": told}


async def test_what_has_no_answer_yet_cannot_be_gone_on_from(user: openai.AsyncOpenAI, program: ProgramVersion) -> None:
    made = await user.responses.create(model=program.program, input=QUESTION, background=True)

    for name in (made.id, "resp_none", "no:id"):
        with pytest.raises(openai.BadRequestError) as caught:
            await user.responses.create(model="answers", input="More", previous_response_id=name)
        assert caught.value.param == "previous_response_id"


async def test_a_response_that_failed_cannot_be_gone_on_from(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    made = await user.responses.create(model=program.program, input=QUESTION, background=True)
    await user.responses.cancel(made.id)

    with pytest.raises(openai.BadRequestError, match="send the messages themselves") as caught:
        await user.responses.create(model="answers", input="More", previous_response_id=made.id)

    assert caught.value.param == "previous_response_id"
    assert await services.runs.next_run() is None


async def test_a_response_is_kept_for_longer_than_its_events(
    user: openai.AsyncOpenAI, serving: ScriptedServing, services: Services
) -> None:
    made = await user.responses.create(model="answers", input=QUESTION)
    assert isinstance(services.runs, MemoryRunStore)
    now = services.runs.clock()

    services.runs.clock = lambda: now + timedelta(seconds=RunTimes().log_seconds + 1)
    later = await user.responses.retrieve(made.id)
    told_again = await resumed(user, made.id)
    services.runs.clock = lambda: now + timedelta(seconds=RunTimes().record_seconds + 1)

    assert later.output_text == made.output_text != ""
    assert told_again[-1].type == "response.completed"
    with pytest.raises(openai.NotFoundError):
        await user.responses.retrieve(made.id)
    assert len(serving.served) == 1


async def test_a_run_that_failed_raises_and_is_told_later(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    failed = Failed(error=RunError(code="program_error", message="It broke."), partial=False)
    async with scripted_serving(services.runs, tell(failed)) as serving:
        with pytest.raises(openai.InternalServerError, match="It broke"):
            await user.responses.create(model=program.program, input=QUESTION)

    found = await user.responses.retrieve(serving.served[0].run_id.replace("run_", "resp_"))
    Response.model_validate(found.to_dict())
    assert found.status == "failed"
    assert found.error is not None
    assert (found.error.code, found.error.message) == ("server_error", "It broke.")


async def test_other_runs_and_other_tenants_have_no_response(
    user: openai.AsyncOpenAI, serving: ScriptedServing, services: Services
) -> None:
    other = await queued(services.runs, a_new_run())
    made = await user.responses.create(model="answers", input=QUESTION)
    assert len(serving.served) == 2  # both were carried out
    keys = [await make_key(services, tenant=each, scopes=[Scope.SERVE_INVOKE]) for each in ("other", "local")]
    stranger, mine = (user.with_options(api_key=key.token) for key in keys)

    for name, who in ((made.id, stranger), (other.run_id.replace("run_", "resp_"), mine), ("resp_a:log", mine)):
        for ask in (who.responses.retrieve, who.responses.cancel, who.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                await ask(name)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "input.0.type"),
        ({"input": []}, "input"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"properties": {"x": {}}}}}},
            "text.format",
        ),
    ],
    ids=["tools", "item", "none", "schema"],
)
async def test_what_a_program_cannot_do_is_refused_by_name(
    changes: dict[str, Any], param: str, user: openai.AsyncOpenAI, program: ProgramVersion
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await user.responses.create(**{"model": program.program, "input": QUESTION, **changes})

    assert caught.value.param == param
