"""``DELETE /v1/responses/{id}``, asked by OpenAI's own client."""

import asyncio

import httpx
import openai
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.usecases.serving.conversations import new_conversation
from tests.support.scripted_serving import ScriptedServing, say, scripted_serving
from tests.unit.api.keyed import make_key

QUESTION = "Why is the sky blue?"


async def test_a_deleted_response_is_not_there_any_more(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    made = await user.responses.create(model="answers", input=QUESTION)

    await user.responses.delete(made.id)

    for ask in (user.responses.retrieve, user.responses.cancel, user.responses.input_items.list, user.responses.delete):
        with pytest.raises(openai.NotFoundError):
            await ask(made.id)
    with pytest.raises(openai.BadRequestError, match="no such response"):
        await user.responses.create(model="answers", input="More", previous_response_id=made.id)
    assert len(serving.served) == 1


async def test_the_answer_says_what_was_deleted(
    client: httpx.AsyncClient, user: openai.AsyncOpenAI, serving: ScriptedServing
) -> None:
    made = await user.responses.create(model="answers", input=QUESTION)

    answer = await client.delete(f"/v1/responses/{made.id}")

    assert (answer.status_code, answer.json()) == (200, {"id": made.id, "object": "response", "deleted": True})
    assert len(serving.served) == 1


async def test_a_response_that_waits_is_ended_first(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    made = await user.responses.create(model=program.program, input=QUESTION, background=True)

    await user.responses.delete(made.id)

    assert await services.runs.next_run() is None
    with pytest.raises(openai.NotFoundError):
        await user.responses.retrieve(made.id)


async def test_a_response_that_is_being_written_is_ended_first(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    made = await user.responses.create(model=program.program, input=QUESTION, background=True)
    run_id = made.id.replace("resp_", "run_")
    async with scripted_serving(services.runs, say("Light."), held=True) as serving:
        deleting = asyncio.create_task(user.responses.delete(made.id))
        while not (await services.runs.get(run_id)).cancel_wished:  # noqa: ASYNC110  # a store has no event for it
            await asyncio.sleep(0.005)
        serving.released.set()
        await deleting

    with pytest.raises(openai.NotFoundError):
        await user.responses.retrieve(made.id)


async def test_what_stands_in_a_conversation_stays(
    user: openai.AsyncOpenAI, serving: ScriptedServing, services: Services
) -> None:
    talk = await services.conversations.create(new_conversation("answers", tenant="local"))
    made = await user.responses.create(model="answers", input=QUESTION, conversation=talk.conversation_id)

    await user.responses.delete(made.id)

    said = await services.conversations.messages("local", talk.conversation_id)
    assert [(each.role, each.text, each.status) for each in said] == [
        ("user", QUESTION, "complete"),
        ("assistant", "Because of light.", "complete"),
    ]
    assert len(serving.served) == 1


async def test_another_tenants_response_is_not_found_and_stays(
    user: openai.AsyncOpenAI, serving: ScriptedServing, services: Services
) -> None:
    made = await user.responses.create(model="answers", input=QUESTION)
    keys = [await make_key(services, tenant=each, scopes=[Scope.SERVE_INVOKE]) for each in ("other", "local")]
    stranger, mine = (user.with_options(api_key=key.token) for key in keys)

    with pytest.raises(openai.NotFoundError):
        await stranger.responses.delete(made.id)

    assert (await mine.responses.retrieve(made.id)).status == "completed"
    assert len(serving.served) == 1
