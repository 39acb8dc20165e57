"""The smallest form: a client that appends every token until ``done`` never shows anything else."""

import json
from typing import Any

import pytest
from hypothesis import given

from dspy_service.api.dialects.seed002 import Seed002
from dspy_service.domain.errors import SlowReaderError
from dspy_service.domain.result import Usage
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

ENDED = Ended(status=RunStatus.COMPLETED)


def messages(text: bytes) -> list[Any]:
    return [json.loads(each.removeprefix("data: ")) for each in text.decode().split("\n\n") if each]


def told_by(*facts: RunFact, field: str | None = "answer") -> list[Any]:
    dialect = Seed002(field, "conv_1")
    return messages(b"".join(map(dialect.encode, as_events(list(facts)))))


@given(run_stories)
def test_tokens_and_then_done_with_the_right_response(story: RunStory) -> None:
    *tokens, done = told_by(*(event.fact for event in story.events))

    assert (done["done"], done["conversation_id"], done["response"]) == (True, "conv_1", story.answer)
    assert all(set(each) == {"token"} for each in tokens)
    assert story.is_taken_back or "".join(each["token"] for each in tokens) == story.answer


def test_done_tells_what_the_answer_of_a_whole_chat_tells() -> None:
    told = told_by(
        Started(run_id="run_1", program="qa", version=1, model="demo", message_id="msg_1"),
        StatusNoted(stage="lm", phase="start", name="demo", message="Asking"),
        SourcesFound(sources=[SourceCited(id="doc1.pdf")]),
        TokenWritten(type="reasoning", field="reasoning", predictor="self", text="Hm.", offset=0),
        TokenWritten(field="answer", predictor="self", text="Blue", offset=0),
        Predicted(prediction={"answer": "Blue"}, answer="Blue", usage=Usage(total_tokens=450)),
        ENDED,
    )

    assert told == [
        {"token": "Blue"},
        {
            "done": True,
            "conversation_id": "conv_1",
            "run_id": "run_1",
            "message_id": "msg_1",
            "tokens_used": 450,
            "response": "Blue",
            "sources": ["doc1.pdf"],
        },
    ]


def test_outputs_without_an_answer_field_are_one_token() -> None:
    prediction = Predicted(prediction={"label": "a", "score": 2, "sources": ["d"]}, answer=None, usage=None)

    told = told_by(TokenWritten(field="label", predictor="self", text="a", offset=0), prediction, ENDED, field=None)

    assert [each.get("token") for each in told] == ['{"label": "a", "score": 2, "sources": ["d"]}', None]
    assert told[1]["sources"] == ["d"]


def test_only_the_first_predictor_that_writes_the_answer_is_appended() -> None:
    told = told_by(
        TokenWritten(field="answer", predictor="draft", text="Re", offset=0),
        TokenWritten(field="answer", predictor="final", text="Blue", offset=0),
        Predicted(prediction={"answer": "Blue"}, answer="Blue", usage=None),
        ENDED,
    )

    assert [each.get("token") for each in told] == ["Re", None]
    assert told[-1]["response"] == "Blue"


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (Failed(error=RunError(code="lm_timeout", message="Late."), partial=True), "lm_timeout"),
        (Cancelled(reason="asked"), "cancelled"),
    ],
    ids=["failed", "cancelled"],
)
def test_a_bad_end_is_told_by_done_alone(fact: RunFact, code: str) -> None:
    token = TokenWritten(field="answer", predictor="self", text="Bl", offset=0)

    told = told_by(token, fact, Ended(status=RunStatus.FAILED))

    assert len(told) == 2
    assert (told[1]["done"], told[1]["response"], told[1]["error"]["code"]) == (True, "Bl", code)


def test_a_ping_is_a_comment_and_trouble_is_done() -> None:
    dialect = Seed002("answer", "conv_1")

    (trouble,) = messages(dialect.trouble(SlowReaderError("Too slow."), "r1"))

    assert dialect.ping() == b": ping\n\n"
    assert (trouble["done"], trouble["error"]["code"], trouble["request_id"]) == (True, SlowReaderError.code, "r1")
