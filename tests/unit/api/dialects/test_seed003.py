"""The form of a chat page: every event has a type, and ``final`` has the answer that counts."""

import json
from typing import Any

import pytest
from hypothesis import given

from dspy_service.api.dialects.seed003 import Seed003
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
    Started,
    StatusNoted,
    TokenWritten,
)
from tests.support.run_stories import RunStory, as_events, run_stories


def messages(text: bytes) -> list[Any]:
    return [json.loads(each.removeprefix("data: ")) for each in text.decode().split("\n\n") if each]


def told_by(*facts: RunFact) -> list[Any]:
    dialect = Seed003("answer")
    return messages(b"".join(map(dialect.encode, as_events(list(facts)))))


@given(run_stories)
def test_final_has_the_answer_and_tokens_are_it_unless_taken_back(story: RunStory) -> None:
    first, *tokens, final, end = told_by(*(event.fact for event in story.events))

    assert [each["type"] for each in (first, final, end)] == ["start", "final", "end"]
    assert final["text"] == story.answer
    assert story.is_taken_back or "".join(each["text"] for each in tokens) == story.answer


def test_every_type_of_the_form_is_told() -> None:
    told = told_by(
        Started(run_id="run_1", program="qa", version=1, model="demo", conversation_id="conv_1"),
        StatusNoted(stage="lm", phase="start", name="demo", message="Asking"),
        SourcesFound(sources=[SourceCited(id="p1")]),
        TokenWritten(type="reasoning", field="reasoning", predictor="self", text="Hm.", offset=0),
        TokenWritten(field="answer", predictor="self", text="Blue", offset=0),
        Predicted(prediction={"answer": "Blue"}, answer="Blue", usage=None, cached=True),
        Ended(status=RunStatus.COMPLETED),
    )

    assert [each["type"] for each in told] == ["start", "status", "sources", "reasoning", "token", "final", "end"]
    assert told[0]["conversation_id"] == "conv_1"
    assert told[1]["message"] == "Asking"
    assert (told[3]["text"], told[4]["text"]) == ("Hm.", "Blue")
    assert (told[5]["prediction"], told[5]["cached"]) == ({"answer": "Blue"}, True)
    assert (told[6]["status"], told[6]["last_seq"]) == ("completed", 7)


def test_an_answer_without_tokens_is_told_as_one() -> None:
    told = told_by(Predicted(prediction={"answer": 4}, answer="4", usage=None), Ended(status=RunStatus.COMPLETED))

    assert [(each["type"], each.get("text")) for each in told] == [("token", "4"), ("final", "4"), ("end", None)]


@pytest.mark.parametrize(
    ("fact", "code", "retryable"),
    [
        (Failed(error=RunError(code="lm_timeout", message="Late.", retryable=True), partial=True), "lm_timeout", True),
        (Cancelled(reason="asked"), "cancelled", False),
    ],
    ids=["failed", "cancelled"],
)
def test_a_bad_end_is_an_error_before_the_end(fact: RunFact, code: str, retryable: bool) -> None:  # noqa: FBT001  # of a table
    told = told_by(fact, Ended(status=RunStatus.FAILED))

    assert [each["type"] for each in told] == ["error", "end"]
    assert (told[0]["code"], told[0]["retryable"]) == (code, retryable)


def test_a_ping_is_a_message_and_trouble_does_not_end() -> None:
    dialect = Seed003("answer")

    (trouble,) = messages(dialect.trouble(SlowReaderError("Too slow."), "r1"))

    assert messages(dialect.ping()) == [{"type": "ping"}]
    assert (trouble["type"], trouble["retryable"], trouble["request_id"]) == ("error", True, "r1")
