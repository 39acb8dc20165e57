"""The form of a paper chat ends with the right answer and its sources, whatever was taken back before."""

import json
from typing import Any

import pytest
from hypothesis import given

from dspy_service.api.dialects.seed000 import Seed000
from dspy_service.domain.errors import SlowReaderError
from dspy_service.domain.serving.run import RunError, RunStatus
from dspy_service.domain.serving.run_events import (
    Cancelled,
    Ended,
    Failed,
    Predicted,
    RunFact,
    SourceCited,
    SourcesFound,
    TokenWritten,
)
from tests.support.run_stories import RunStory, as_events, run_stories

ENDED = Ended(status=RunStatus.COMPLETED)


def text_of(*facts: RunFact) -> str:
    dialect = Seed000("answer", "conv_1")
    return b"".join(map(dialect.encode, as_events(list(facts)))).decode()


def told_by(*facts: RunFact) -> list[Any]:
    *messages, last, _ = text_of(*facts).split("\n\n")
    assert last == "data: [DONE]"
    return [json.loads(each.removeprefix("data: ")) for each in messages]


@given(run_stories)
def test_done_has_the_answer_and_tokens_are_it_unless_taken_back(story: RunStory) -> None:
    *tokens, done = told_by(*(event.fact for event in story.events))

    assert (done["type"], done["content"]) == ("done", story.answer)
    assert story.is_taken_back or "".join(each["content"] for each in tokens) == story.answer


def test_reasoning_sources_and_the_session_are_told() -> None:
    told = told_by(
        SourcesFound(sources=[SourceCited(id="p1"), SourceCited(id="p2")]),
        TokenWritten(type="reasoning", field="reasoning", predictor="self", text="Hm.", offset=0),
        TokenWritten(field="answer", predictor="self", text="Blue", offset=0),
        TokenWritten(field="mood", predictor="self", text="good", offset=0),
        Predicted(prediction={"answer": "Blue", "sources": ["p9"]}, answer="Blue", usage=None),
        ENDED,
    )

    assert told == [
        {"type": "sources", "content": "", "sources": ["p1", "p2"]},
        {"type": "reasoning", "content": "Hm."},
        {"type": "token", "content": "Blue"},
        {"type": "done", "content": "Blue", "sources": ["p1", "p2"], "session_id": "conv_1"},
    ]


def test_sources_that_the_program_names_are_told() -> None:
    told = told_by(Predicted(prediction={"answer": "Blue", "sources": ["p9"]}, answer="Blue", usage=None), ENDED)

    assert [each["type"] for each in told] == ["token", "sources", "done"]
    assert told[1]["sources"] == told[2]["sources"] == ["p9"]


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (Failed(error=RunError(code="lm_timeout", message="Late."), partial=True), "lm_timeout"),
        (Cancelled(reason="asked"), "cancelled"),
    ],
    ids=["failed", "cancelled"],
)
def test_a_bad_end_keeps_what_was_told(fact: RunFact, code: str) -> None:
    token = TokenWritten(field="answer", predictor="self", text="Bl", offset=0)

    told = told_by(token, fact, Ended(status=RunStatus.FAILED))

    assert [each["type"] for each in told] == ["token", "error", "done"]
    assert (told[1]["code"], told[2]["content"]) == (code, "Bl")


def test_an_end_without_a_word_is_done_too() -> None:
    assert told_by(ENDED) == [{"type": "done", "content": "", "sources": [], "session_id": "conv_1"}]


def test_a_ping_is_a_comment_and_trouble_does_not_close() -> None:
    dialect = Seed000("answer", "conv_1")

    assert dialect.ping() == b": ping\n\n"
    trouble = dialect.trouble(SlowReaderError("Too slow."), "r1").decode()
    assert json.loads(trouble.removeprefix("data: "))["request_id"] == "r1"
    assert "[DONE]" not in trouble
