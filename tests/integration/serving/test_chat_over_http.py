"""Conversations with a deployed program over HTTP: a real API, a real serving worker, and a scripted model."""

import asyncio
from collections.abc import Iterator

import pytest

from dspy_service.client import ApiError, Client
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run_events import Started
from dspy_service.domain.spec import ModelSettings
from tests.support.api_process import api_process
from tests.support.openai_server import OpenAIServer, Reply
from tests.support.serving_stage import serving_stage

WORDS = [f"word{number} " for number in range(400)]


def _as_asked(body: dict[str, object]) -> Reply:
    asked = str(body["messages"])
    if "slow" in asked and "hurry" not in asked:
        return Reply(pieces=WORDS, piece_seconds=0.05)
    return Reply(text="Light scatters.")


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(_as_asked) as server:
        yield server


@pytest.fixture(scope="module")
def client(provider: OpenAIServer) -> Iterator[Client]:
    """A client of an API that serves ``question -> answer`` as ``qa``, beside one worker."""
    with api_process() as api, asyncio.Runner() as runner:
        opening = serving_stage(api.store.url, api.folder)
        stage = runner.run(opening.__aenter__())
        try:
            runner.run(stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text"))
            runner.run(stage.worker())
            with Client(api.url) as client:
                yield client
        finally:
            runner.run(opening.__aexit__(None, None, None))


def test_the_model_hears_what_was_said_before(client: Client, provider: OpenAIServer) -> None:
    first = client.chat.say("Why is the sky blue?", user_id="ann")

    second = client.chat.say("And the sea?", conversation_id=first.conversation_id)

    heard = provider.received[-1].body["messages"][-1]["content"]
    said = client.chat.conversation(first.conversation_id).messages
    assert "User: Why is the sky blue?\nAssistant: Light scatters.\nUser: And the sea?" in heard
    assert [(each.text, each.status) for each in said] == [
        ("Why is the sky blue?", "complete"),
        ("Light scatters.", "complete"),
        ("And the sea?", "complete"),
        ("Light scatters.", "complete"),
    ]
    assert (said[-1].message_id, said[-1].run_id) == (second.message_id, second.run_id)
    assert second.tokens_used > 0


def test_an_answer_that_is_read_along_stands_in_the_conversation(client: Client) -> None:
    events = list(client.chat.stream("Why?", program="qa@production"))

    start = events[0].fact
    assert isinstance(start, Started)
    assert FieldTexts.of(event.fact for event in events).text("answer") == "Light scatters."
    (_, answer) = client.chat.conversation(start.conversation_id or "").messages
    assert (answer.text, answer.status, answer.message_id) == ("Light scatters.", "complete", start.message_id)


def test_a_second_message_interrupts_the_first_answer_which_is_kept(client: Client) -> None:
    conversation = client.chat.start()
    reading = client.chat.stream("Be slow.", conversation_id=conversation.conversation_id)
    assert any(event.fact.type == "token" for event in reading)

    told = client.chat.say("hurry", conversation_id=conversation.conversation_id, multitask_strategy="interrupt")

    rest = [event.fact.type for event in reading]
    _, cut, _, whole = client.chat.conversation(conversation.conversation_id).messages
    assert rest[-2:] == ["cancelled", "end"]
    assert (cut.status, cut.text.split()[0]) == ("cancelled", "word0")
    assert (whole.text, whole.status) == (told.response, "complete")


def test_rated_answers_are_rows(client: Client) -> None:
    told = client.chat.say("Why so?", user_id="ben")
    client.chat.rate(told.conversation_id, told.message_id, "up")

    assert client.chat.rated_rows(program="qa", user_id="ben") == [{"question": "Why so?", "answer": "Light scatters."}]


def test_a_conversation_that_is_gone_is_not_found(client: Client) -> None:
    conversation = client.chat.start()
    client.chat.delete(conversation.conversation_id)

    with pytest.raises(ApiError) as caught:
        client.chat.conversation(conversation.conversation_id)

    assert caught.value.status_code == 404
