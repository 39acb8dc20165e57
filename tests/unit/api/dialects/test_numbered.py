"""A reader who comes back with the last id reads on as if he had never left."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.api.dialects.numbered import Numbered, place_of
from dspy_service.api.dialects.seed002 import Seed002
from dspy_service.domain.errors import SlowReaderError
from tests.support.run_stories import RunStory, run_stories


def tokens_of(text: bytes) -> str:
    data = [line.removeprefix("data: ") for line in text.decode().split("\n") if line.startswith("data: ")]
    return "".join(json.loads(each).get("token", "") for each in data)


def last_id(text: bytes) -> str:
    return [line.removeprefix("id: ") for line in text.decode().split("\n") if line.startswith("id: ")][-1]


@given(run_stories, st.data())
def test_two_connections_tell_what_one_would(story: RunStory, data: st.DataObject) -> None:
    broke_at = data.draw(st.integers(1, len(story.events) - 1))
    whole, first = Seed002("answer", None), Numbered(Seed002("answer", None), "run_1")
    before = b"".join(map(first.encode, story.events[:broke_at]))
    place = place_of(last_id(before))
    assert place == ("run_1", broke_at)

    second = Numbered(Seed002("answer", None), "run_1", story.events[: place[1]])
    after = b"".join(map(second.encode, story.events[broke_at:]))

    assert tokens_of(before) + tokens_of(after) == tokens_of(b"".join(map(whole.encode, story.events)))


@pytest.mark.parametrize("text", ["", "17", "run_1", "run_1/", "run_1/-1", "run/1/2", "run_1/1\n"])
def test_other_ids_name_no_place(text: str) -> None:
    assert place_of(text) is None


def test_pings_and_trouble_move_nobody() -> None:
    plain, dialect = Seed002("answer", None), Numbered(Seed002("answer", None), "run_1")

    assert dialect.ping() == plain.ping()
    assert dialect.trouble(SlowReaderError("Slow."), "r1") == plain.trouble(SlowReaderError("Slow."), "r1")
