"""The forms of DSPy's tutorials end with the right answer, whatever was taken back before."""

import json
from typing import Any

import pytest
from hypothesis import given

from dspy_service.api.dialects.dialect import Dialect
from dspy_service.api.dialects.seed001 import Seed001Chat, Seed001Predict, Seed001Query
from dspy_service.domain.errors import SlowReaderError
from dspy_service.domain.serving.run import RunError, RunStatus
from dspy_service.domain.serving.run_events import (
    Cancelled,
    Ended,
    Failed,
    Predicted,
    RunFact,
    StatusNoted,
    TokenWritten,
)
from tests.support.run_stories import RunStory, as_events, run_stories

WRITING = StatusNoted(stage="lm", phase="start", name="demo", message="Asking the model")


def written(dialect: Dialect, *facts: RunFact) -> list[Any]:
    events = as_events(list(facts))
    text = b"".join(map(dialect.encode, events)).decode()
    return [json.loads(line) for line in (each.removeprefix("data: ") for each in text.split("\n\n")) if _is_json(line)]


def _is_json(line: str) -> bool:
    return line not in {"", "[DONE]"}


def a_turn() -> list[RunFact]:
    return [
        WRITING,
        TokenWritten(type="reasoning", field="reasoning", predictor="self", text="Hm.", offset=0),
        TokenWritten(field="answer", predictor="self", text="Blue", offset=0),
        Predicted(prediction={"reasoning": "Hm.", "answer": "Blue"}, answer="Blue", usage=None),
        Ended(status=RunStatus.COMPLETED),
    ]


@given(run_stories)
def test_chunks_are_the_answer_and_the_prediction_is_right_in_any_case(story: RunStory) -> None:
    told = written(Seed001Predict(), *(event.fact for event in story.events))

    assert told[-1] == {"prediction": {"answer": story.answer}}
    assert story.is_taken_back or "".join(each["chunk"] for each in told[:-1]) == story.answer


@given(run_stories)
def test_tokens_are_the_answer_and_the_result_is_right_in_any_case(story: RunStory) -> None:
    told = written(Seed001Query("answer"), *(event.fact for event in story.events))

    assert told[-1] == {"type": "result", "answer": story.answer}
    assert story.is_taken_back or "".join(each["chunk"] for each in told[:-1]) == story.answer


def test_each_form_has_its_own_names() -> None:
    assert written(Seed001Predict(), *a_turn()) == [
        {"chunk": "Hm.", "field": "reasoning"},
        {"chunk": "Blue", "field": "answer"},
        {"prediction": {"reasoning": "Hm.", "answer": "Blue"}},
    ]
    assert written(Seed001Query("answer"), *a_turn()) == [
        {"type": "status", "msg": "Asking the model"},
        {"type": "token", "chunk": "Blue"},
        {"type": "result", "answer": "Blue"},
    ]
    assert written(Seed001Chat("answer"), *a_turn()) == [
        {"type": "status", "message": "Asking the model"},
        {"type": "token", "field": "reasoning", "chunk": "Hm."},
        {"type": "token", "field": "answer", "chunk": "Blue"},
        {"type": "complete", "answer": "Blue"},
    ]


def test_of_several_outputs_a_chat_tells_the_answer_alone() -> None:
    other = TokenWritten(field="mood", predictor="self", text="calm", offset=0)

    assert written(Seed001Chat("answer"), other) == written(Seed001Query("answer"), other) == []
    assert written(Seed001Chat(None), other) == [{"type": "token", "field": "mood", "chunk": "calm"}]


def test_without_an_answer_field_the_result_is_the_whole_prediction() -> None:
    prediction = {"city": "Paris", "river": "Seine"}

    told = written(Seed001Query(None), Predicted(prediction=prediction, answer=None, usage=None))

    assert told == [{"type": "result", "answer": prediction}]


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (Failed(error=RunError(code="lm_auth", message="No."), partial=False), "lm_auth"),
        (Cancelled(reason="asked"), "cancelled"),
    ],
    ids=["failed", "cancelled"],
)
def test_what_went_wrong_is_told_before_the_end(fact: RunFact, code: str) -> None:
    told = written(Seed001Predict(), fact, Ended(status=RunStatus.FAILED))

    assert [each["type"] for each in told] == ["error"]
    assert told[0]["code"] == code


def test_a_stream_is_done_only_when_its_run_is() -> None:
    dialect = Seed001Predict()
    (end,) = as_events([Ended(status=RunStatus.COMPLETED)])

    assert dialect.encode(end) == b"data: [DONE]\n\n"
    assert b"[DONE]" not in dialect.trouble(SlowReaderError("Too slow."), "r1")
    assert dialect.ping().startswith(b":")
