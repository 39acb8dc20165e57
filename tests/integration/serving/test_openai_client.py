"""OpenAI's client and DSPy call a deployed program as a model: a real API, a real serving worker, a scripted model."""

import asyncio
from collections.abc import Iterator
from typing import Any

import dspy
import openai
import pytest

from dspy_service.client import Client
from dspy_service.domain.spec import ModelSettings
from tests.support.api_process import api_process
from tests.support.openai_server import OpenAIServer, Reply, error
from tests.support.processes import wait_until
from tests.support.serving_stage import serving_stage

WORDS = [f"word{number} " for number in range(400)]
QUICK = Reply(pieces=WORDS[:40], piece_seconds=0.005)
SLOW = Reply(pieces=WORDS, piece_seconds=0.05)
ANSWER = "".join(WORDS[:40]).strip()
ANEW = {"cache": "bypass"}
QUESTION: Any = [{"role": "user", "content": "Why?"}]


def _as_asked(body: dict[str, object]) -> Reply:
    asked = str(body["messages"])
    if "refused" in asked:
        return error(400, message="no such option, key sk-secret-0123456789")
    return SLOW if "slow" in asked else QUICK


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(_as_asked) as server:
        yield server


@pytest.fixture(scope="module")
def url(provider: OpenAIServer) -> Iterator[str]:
    """Where ``question -> answer`` is served as ``qa``, beside one worker."""
    with api_process() as api, asyncio.Runner() as runner:
        opening = serving_stage(api.store.url, api.folder)
        stage = runner.run(opening.__aenter__())
        try:
            runner.run(stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text"))
            runner.run(stage.worker())
            yield f"{api.url}/v1"
        finally:
            runner.run(opening.__aexit__(None, None, None))


@pytest.fixture
def user(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="not needed", base_url=url, timeout=30, max_retries=0) as opened:
        yield opened


def test_a_program_is_a_model(user: openai.OpenAI) -> None:
    assert [each.id for each in user.models.list()] == ["qa"]


def test_a_chat_is_answered_whole(user: openai.OpenAI) -> None:
    answer = user.chat.completions.create(model="qa", messages=QUESTION, extra_body=ANEW)

    assert answer.choices[0].message.content == ANSWER
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


def test_a_chat_is_streamed_in_words(user: openai.OpenAI) -> None:
    chunks = list(
        user.chat.completions.create(
            model="qa", messages=QUESTION, stream=True, stream_options={"include_usage": True}, extra_body=ANEW
        )
    )

    texts = [each.choices[0].delta.content for each in chunks if each.choices and each.choices[0].delta.content]
    assert "".join(texts) == ANSWER
    assert len(texts) > 1
    assert chunks[-1].usage is not None


def test_a_stream_that_is_closed_early_is_a_response_to_come_back_to(user: openai.OpenAI) -> None:
    stream = user.responses.create(model="qa", input="Why not?", stream=True, background=True, extra_body=ANEW)
    before = []
    for event in stream:
        before.append(event)
        if event.type == "response.output_text.delta":
            break
    stream.close()
    response_id = next(each.response.id for each in before if each.type == "response.created")

    after = list(user.responses.retrieve(response_id, stream=True, starting_after=before[-1].sequence_number))

    deltas = [each.delta for each in [*before, *after] if each.type == "response.output_text.delta"]
    assert "".join(deltas) == ANSWER
    assert after[-1].type == "response.completed"
    assert after[-1].response.output_text == ANSWER


def test_a_background_response_is_waited_for(user: openai.OpenAI) -> None:
    made = user.responses.create(model="qa", input="Why?", background=True)

    wait_until(lambda: user.responses.retrieve(made.id).status == "completed", seconds=20)

    assert user.responses.retrieve(made.id).output_text == ANSWER


def test_a_cancelled_response_ends_and_its_model_call_is_closed(user: openai.OpenAI, provider: OpenAIServer) -> None:
    kinds: list[str] = []
    ids: list[str] = []
    for event in user.responses.create(model="qa", input="Be slow.", stream=True, background=True):
        kinds.append(event.type)
        if event.type == "response.created":
            ids.append(event.response.id)
        if event.type == "response.output_text.delta" and kinds.count(event.type) == 1:
            user.responses.cancel(ids[0])

    assert kinds[-1] == "response.incomplete"
    assert user.responses.retrieve(ids[0]).status == "cancelled"
    wait_until(lambda: provider.received[-1].closed_at is not None, seconds=5)


def test_a_response_that_is_deleted_while_it_is_written_is_gone_and_its_model_call_is_closed(
    user: openai.OpenAI, provider: OpenAIServer
) -> None:
    stream = user.responses.create(model="qa", input="Be slow and go.", stream=True, background=True)
    made = next(each.response.id for each in stream if each.type == "response.created")
    next(each for each in stream if each.type == "response.output_text.delta")
    stream.close()

    user.responses.delete(made)

    with pytest.raises(openai.NotFoundError):
        user.responses.retrieve(made)
    wait_until(lambda: provider.received[-1].closed_at is not None, seconds=5)


def test_a_response_is_told_what_was_said_in_its_conversation(
    user: openai.OpenAI, url: str, provider: OpenAIServer
) -> None:
    with Client(url.removesuffix("/v1")) as client:
        said = client.chat.say("What is your name?", program="qa", user_id="ann")

        asked: Any = {"model": "qa", "input": "And mine?", "conversation": said.conversation_id, "user": "ann"}
        response = user.responses.create(**asked)

        told = client.chat.conversation(said.conversation_id).messages
    prompt = str(provider.received[-1].body["messages"])
    assert "What is your name?" in prompt
    assert "And mine?" in prompt
    assert [each.text for each in told] == ["What is your name?", ANSWER, "And mine?", response.output_text]


def test_a_refusal_of_the_model_is_told_whole_and_in_a_stream(user: openai.OpenAI) -> None:
    question: Any = [{"role": "user", "content": "Be refused."}]

    with pytest.raises(openai.InternalServerError) as whole:
        user.chat.completions.create(model="qa", messages=question)
    with pytest.raises(openai.APIError) as streamed:
        list(user.chat.completions.create(model="qa", messages=question, stream=True))
    events = list(user.responses.create(model="qa", input="Be refused.", stream=True))

    assert whole.value.status_code == 502
    for caught in (whole.value, streamed.value):
        assert caught.code == "model_error"
        assert "The model openai/test failed (invalid_request): no such option" in caught.message
        assert "sk-secret" not in str(caught.body)
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert "The model openai/test failed" in last.response.error.message


def test_a_program_is_a_language_model_of_dspy(url: str) -> None:
    lm = dspy.LM("openai/qa", api_base=url, api_key="not needed", cache=False)

    assert lm("Why?") == [ANSWER]


def test_a_predictor_of_dspy_reads_a_program_that_answers_in_json(url: str) -> None:
    form = {"type": "json_object"}
    lm = dspy.LM("openai/qa", api_base=url, api_key="not needed", cache=False, response_format=form)

    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        found = dspy.Predict("question -> answer")(question="Why?")

    assert found.answer == ANSWER
