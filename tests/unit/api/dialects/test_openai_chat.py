"""The chunks of a chat completion spell the answer, or the last one says that they do not."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given

from dspy_service.api.dialects.openai_chat import OpenAIChat
from dspy_service.domain.errors import SlowReaderError
from dspy_service.domain.serving.chat_fields import ChatFields
from dspy_service.domain.serving.openai_mapping import ReplyShape
from dspy_service.domain.serving.run import Run, RunStatus
from dspy_service.domain.serving.run_events import Cancelled, Ended, RunFact
from tests.support.run_samples import a_new_run
from tests.support.run_stories import RunStory, as_events, run_stories
from tests.support.served_programs import an_interface

SHAPE = ReplyShape(ChatFields(question="question", history=None, answer="answer"), an_interface())
RUN = Run(**dict(a_new_run(run_id="run_1")), created_at=datetime(2026, 1, 1, tzinfo=UTC))


def dialect() -> OpenAIChat:
    return OpenAIChat(RUN, SHAPE, digest="abc")


def data_of(text: bytes) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@given(run_stories)
def test_the_deltas_are_the_answer_unless_the_last_chunk_says_otherwise(story: RunStory) -> None:
    chat = dialect()

    written = b"".join(map(chat.encode, story.events))

    found = data_of(written)
    text = "".join(each["choices"][0]["delta"].get("content", "") for each in found)
    final = found[-1]
    assert written.endswith(b"data: [DONE]\n\n")
    assert final["dspy"]["prediction"]["answer"] == story.answer
    assert text == story.answer or final["dspy"]["retracted"]


def test_a_run_that_was_cancelled_ends_with_an_error() -> None:
    facts: list[RunFact] = [Cancelled(reason="asked"), Ended(status=RunStatus.CANCELLED)]

    written = b"".join(map(dialect().encode, as_events(facts)))

    assert [each["error"]["code"] for each in data_of(written)] == ["cancelled"]
    assert written.endswith(b"data: [DONE]\n\n")


def test_pings_are_comments_and_trouble_is_an_error() -> None:
    assert dialect().ping().startswith(b":")
    assert data_of(dialect().trouble(SlowReaderError("Slow."), "r1"))[0]["error"] == {
        "message": "Slow.",
        "type": "server_error",
        "param": None,
        "code": "slow_consumer",
        "request_id": "r1",
    }
