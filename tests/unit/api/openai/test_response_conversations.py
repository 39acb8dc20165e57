"""Responses that go on with a conversation, asked by OpenAI's own client."""

from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from tests.support.scripted_serving import ScriptedServing
from tests.unit.api.keyed import make_key
from tests.unit.api.talking import messages_of

QUESTION = "Why is the sky blue?"
ANSWER = "Because of light."


async def started(client: httpx.AsyncClient, **fields: Any) -> str:  # noqa: ANN401  # JSON
    answer = await client.post("/conversations", json={"program": "answers", **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["conversation_id"])


async def test_question_and_answer_are_written_into_the_conversation(
    user: openai.AsyncOpenAI, client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    talk = await started(client)

    made = await user.responses.create(model="answers", input=QUESTION, conversation=talk)

    Response.model_validate(made.to_dict())
    assert made.conversation is not None
    assert made.conversation.id == talk == serving.served[0].conversation_id
    assert (await user.responses.retrieve(made.id)).conversation == made.conversation
    assert await messages_of(client, talk) == [("user", QUESTION, "complete"), ("assistant", ANSWER, "complete")]


async def test_a_chat_goes_on_where_a_response_ended(
    user: openai.AsyncOpenAI, client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    talk = await started(client)
    await user.responses.create(model="answers", input=QUESTION, conversation={"id": talk})

    said = await client.post("/chat", json={"message": "And at night?", "conversation_id": talk})
    streamed = await user.responses.create(model="answers", input="Why?", conversation=talk, stream=True)
    kinds = [each.type async for each in streamed]

    assert said.status_code == 200
    assert kinds[-1] == "response.completed"
    assert [text for role, text, _ in await messages_of(client, talk) if role == "user"] == [
        QUESTION,
        "And at night?",
        "Why?",
    ]
    assert {each.conversation_id for each in serving.served} == {talk}


async def test_the_items_of_a_request_stay_what_was_sent(
    user: openai.AsyncOpenAI, client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    talk = await started(client)
    made = await user.responses.create(model="answers", input=QUESTION, conversation=talk, metadata={"a": "b"})

    items = [each.to_dict() async for each in user.responses.input_items.list(made.id)]

    assert [each["content"][0]["text"] for each in items] == [QUESTION]  # type: ignore[index]  # JSON
    assert made.metadata == {"a": "b"}
    assert len(serving.served) == 1


async def test_a_request_that_is_sent_again_is_written_once(
    user: openai.AsyncOpenAI, client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    talk = await started(client)
    asked: Any = {"model": "answers", "input": QUESTION, "conversation": talk}
    headers = {"Idempotency-Key": "k1"}

    first = await user.responses.create(**asked, extra_headers=headers)
    again = await user.responses.create(**asked, extra_headers=headers)

    assert first.id == again.id
    assert len(await messages_of(client, talk)) == 2
    assert len(serving.served) == 1


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"previous_response_id": "resp_1"}, "conversation"),
        ({"conversation": {"name": "x"}}, "conversation"),
        ({"conversation": 1}, "conversation"),
        (
            {
                "input": [
                    {"role": "user", "content": "Who are you?"},
                    {"role": "assistant", "content": "Ada."},
                    {"role": "user", "content": QUESTION},
                ]
            },
            "input",
        ),
    ],
    ids=["previous", "no-id", "number", "turns"],
)
async def test_what_does_not_fit_to_a_conversation_is_named(
    changes: dict[str, Any],
    param: str,
    user: openai.AsyncOpenAI,
    client: httpx.AsyncClient,
    serving: ScriptedServing,
) -> None:
    talk = await started(client)

    with pytest.raises(openai.BadRequestError) as caught:
        await user.responses.create(**{"model": "answers", "input": QUESTION, "conversation": talk, **changes})

    assert str(caught.value.param).startswith(param)
    assert serving.served == []
    assert await messages_of(client, talk) == []


async def test_a_response_of_a_conversation_is_gone_on_from_there_alone(
    user: openai.AsyncOpenAI, client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    talk = await started(client)
    made = await user.responses.create(model="answers", input=QUESTION, conversation=talk)

    with pytest.raises(openai.BadRequestError, match="send its id as `conversation`") as caught:
        await user.responses.create(model="answers", input="More", previous_response_id=made.id)

    assert caught.value.param == "previous_response_id"
    assert len(serving.served) == 1


async def test_a_conversation_of_somebody_else_is_not_found(
    user: openai.AsyncOpenAI, client: httpx.AsyncClient, serving: ScriptedServing, services: Services
) -> None:
    talk = await started(client, user_id="ann")
    keys = [await make_key(services, tenant=each, scopes=[Scope.SERVE_INVOKE]) for each in ("other", "local")]
    stranger, mine = (user.with_options(api_key=key.token) for key in keys)

    for who, changes in ((stranger, {}), (mine, {"user": "bob"}), (mine, {"conversation": "conv_none"})):
        asked: Any = {"model": "answers", "input": QUESTION, "conversation": talk, **changes}
        with pytest.raises(openai.NotFoundError):
            await who.responses.create(**asked)
    found = await mine.responses.create(model="answers", input=QUESTION, conversation=talk, user="ann")

    assert found.output_text == ANSWER
    assert len(serving.served) == 1
