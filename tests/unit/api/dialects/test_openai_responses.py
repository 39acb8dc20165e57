"""The events of a response: numbered, resumable behind any number, and right at the end."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.api.dialects.openai_responses import PER_EVENT, OpenAIResponses
from dspy_service.domain.errors import SlowReaderError
from dspy_service.domain.serving.chat_fields import ChatFields
from dspy_service.domain.serving.coalescing import coalesced
from dspy_service.domain.serving.openai_mapping import ReplyShape
from dspy_service.domain.serving.openai_memo import ResponseMemo
from dspy_service.domain.serving.run import Run, RunError, RunStatus
from dspy_service.domain.serving.run_events import (
    Cancelled,
    Ended,
    Failed,
    Predicted,
    RunEvent,
    RunFact,
    Snapshot,
    TextReplaced,
    TokenWritten,
)
from dspy_service.usecases.serving.responses import seen_before
from tests.support.run_samples import a_new_run, a_token, started, the_final
from tests.support.run_stories import RunStory, as_events, run_stories
from tests.support.served_programs import a_field, an_interface

FIELDS = ChatFields(question="question", history=None, answer="answer")
SHAPE = ReplyShape(
    FIELDS, an_interface(a_field("question"), a_field("reasoning", "output"), a_field("answer", "output"))
)
RUN = Run(**dict(a_new_run(run_id="run_1")), created_at=datetime(2026, 1, 1, tzinfo=UTC))
STARTED = started(RUN)
MEMO = ResponseMemo(input=[], message="Why?")
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


class Log(MemoryRunStore):
    """Holds what it is given, as no worker may write it."""

    def __init__(self, events: list[RunEvent], trimmed: list[RunEvent] | None = None) -> None:
        super().__init__()
        self._told_events, self._stand_ins = events, trimmed or []

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
        assert run_id == RUN.run_id
        return [event for event in self._told_events if event.seq > after][:limit]

    async def trimmed(self, run_id: str) -> list[RunEvent]:
        assert run_id == RUN.run_id
        return self._stand_ins


def dialect(after: int = 0) -> OpenAIResponses:
    return OpenAIResponses(RUN, MEMO, SHAPE, after=after)


def data_of(text: bytes) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in text.decode().split("\n") if line.startswith("data: ")]


def told(events: Iterable[RunEvent], reader: OpenAIResponses) -> list[Any]:
    return data_of(b"".join(map(reader.encode, events)))


def texts(found: list[Any]) -> str:
    return "".join(each["delta"] for each in found if each["type"] == "response.output_text.delta")


@given(run_stories)
def test_every_event_is_one_of_openais_and_the_last_text_is_right(story: RunStory) -> None:
    found = told(story.events, dialect())

    for each in found:
        EVENT.validate_python(each)
    numbers = [each["sequence_number"] for each in found]
    done = next(each for each in found if each["type"] == "response.output_text.done")
    assert numbers == sorted(set(numbers))
    assert done["text"] == story.answer
    assert found[-1]["response"]["output"][-1]["content"][0]["text"] == story.answer


@given(run_stories, st.data(), st.booleans())
async def test_a_reader_goes_on_behind_any_number(story: RunStory, data: st.DataObject, is_behind: bool) -> None:  # noqa: FBT001  # drawn
    whole = told(coalesced(story.events) if is_behind else story.events, dialect())
    seen = data.draw(st.integers(0, len(whole) - 1))
    after = whole[seen]["sequence_number"]
    before, place = await seen_before(RUN, after // PER_EVENT, runs=Log(story.events))
    reader = dialect(after)
    if place:
        reader.catch_up(before, place=place)
    rest = told(coalesced(story.events[place:]), reader)

    assert texts(whole[: seen + 1]) + texts(rest) == texts(whole)
    others = [each["type"] for each in whole[: seen + 1] + rest if not each["type"].endswith("delta")]
    assert others == [each["type"] for each in whole if not each["type"].endswith("delta")]


@pytest.mark.parametrize(("seq", "text"), [(3, ""), (4, "."), (5, "")], ids=["gone", "at the snapshot", "behind it"])
async def test_a_reader_of_a_trimmed_log_is_told_nothing_twice(seq: int, text: str) -> None:
    words = [a_token("L"), a_token("i", offset=1), a_token("ght", offset=2), a_token(".", offset=5)]
    whole = as_events([STARTED, *words, the_final("Light."), Ended(status=RunStatus.COMPLETED)])
    snapshot = Snapshot(fields=[TextReplaced(field="answer", predictor="self", text="Light")])
    stand_ins = [whole[0], whole[3].model_copy(update={"fact": snapshot})]

    before, place = await seen_before(RUN, seq, runs=Log(whole[4:], stand_ins))
    reader = dialect(after=PER_EVENT * seq)
    reader.catch_up(before, place=place)
    found = told([event for event in [*stand_ins, *whole[4:]] if event.seq > place], reader)

    assert texts(found) == text
    assert [each["text"] for each in found if each["type"] == "response.output_text.done"] == ["Light."]


@pytest.mark.parametrize(
    ("facts", "kind", "status"),
    [
        (
            [Failed(error=RunError(code="lm_timeout", message="Slow."), partial=True), Ended(status=RunStatus.FAILED)],
            "response.failed",
            "failed",
        ),
        ([Cancelled(reason="asked"), Ended(status=RunStatus.CANCELLED)], "response.incomplete", "cancelled"),
        ([the_final("Li"), Ended(status=RunStatus.INCOMPLETE)], "response.incomplete", "incomplete"),
    ],
    ids=["failed", "cancelled", "cut off"],
)
def test_every_end_has_an_event(facts: list[RunFact], kind: str, status: str) -> None:
    found = told(as_events([a_token("Li"), *facts]), dialect())

    end = found[-1]
    EVENT.validate_python(end)
    assert (end["type"], end["response"]["status"]) == (kind, status)
    assert [each["text"] for each in found if each["type"] == "response.output_text.done"] == ["Li"]


def test_reasoning_is_an_item_of_its_own() -> None:
    thought = TokenWritten(type="reasoning", field="reasoning", predictor="self", text="Ray", offset=0)
    final = Predicted(prediction={"reasoning": "Rayleigh.", "answer": "Light."}, answer="Light.", usage=None)

    found = told(as_events([STARTED, thought, final, Ended(status=RunStatus.COMPLETED)]), dialect())

    deltas = [each["delta"] for each in found if each["type"] == "response.reasoning_summary_text.delta"]
    assert deltas == ["Ray", "leigh."]
    assert [each["type"] for each in found[-1]["response"]["output"]] == ["reasoning", "message"]
    assert found[-1]["response"]["output"][0]["summary"] == [{"type": "summary_text", "text": "Rayleigh."}]


def test_a_program_without_reasoning_has_one_item() -> None:
    reader = OpenAIResponses(RUN, MEMO, ReplyShape(FIELDS, an_interface()))

    found = told(as_events([STARTED, the_final("Light."), Ended(status=RunStatus.COMPLETED)]), reader)

    assert {each["output_index"] for each in found if "output_index" in each} == {0}
    assert [each["type"] for each in found[-1]["response"]["output"]] == ["message"]


def test_trouble_moves_nobody() -> None:
    reader = dialect()
    told(as_events([a_token("Li")]), reader)

    found = data_of(reader.trouble(SlowReaderError("Slow."), "r1"))[0]

    assert (found["type"], found["code"], found["sequence_number"]) == ("error", "slow_consumer", PER_EVENT)
    assert reader.ping().startswith(b":")
