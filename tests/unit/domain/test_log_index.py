"""The index of a log finds the events that are asked for in few bytes, whatever the lengths of its lines."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.events import Event, EventType
from dspy_service.domain.log_index import MOST_PARTS, PART_BYTES, LogIndex, index_log

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def line(seq: int, size: int = 0) -> bytes:
    event = Event(seq=seq, type=EventType.LOG, timestamp=NOW, attempt=1, data={"message": "x" * size})
    return event.model_dump_json().encode() + b"\n"


def found(log: bytes, index: LogIndex, *, after: int, limit: int) -> list[int]:
    begin, parts = index.find(after=after, limit=limit)
    text = log[begin : begin + sum(part.byte_count for part in parts)]
    return [Event.model_validate_json(each).seq for each in text.splitlines()]


@given(
    sizes=st.lists(st.sampled_from([0, 100, 20_000, 50_000]), max_size=20),
    first=st.integers(1, 5),
    after=st.integers(0, 30),
    limit=st.integers(1, 30),
)
def test_the_parts_hold_what_is_asked_for_and_hardly_more(sizes: list[int], first: int, after: int, limit: int) -> None:
    lines = [line(first + number, size) for number, size in enumerate(sizes)]
    index = index_log(lines)
    wanted = [seq for seq in range(first, first + len(lines)) if seq > after][:limit]

    numbers = found(b"".join(lines), index, after=after, limit=limit)

    assert [seq for seq in numbers if seq > after][:limit] == wanted
    assert len(index.find(after=after, limit=limit)[1]) <= len(wanted) + 1
    assert sum(part.byte_count for part in index.parts) == sum(map(len, lines))


def test_each_part_is_whole_lines_under_a_hash_of_its_own() -> None:
    lines = [line(number, PART_BYTES // 3) for number in range(1, 8)]

    index = index_log(lines)

    assert [part.first_seq for part in index.parts] == [1, 4, 7]
    assert index.parts[1].sha256 == hashlib.sha256(lines[3] + lines[4] + lines[5]).hexdigest()


def test_a_line_that_is_longer_than_a_part_ends_one() -> None:
    index = index_log([line(1), line(2, 3 * PART_BYTES), line(3)])

    assert [part.first_seq for part in index.parts] == [1, 3]


def test_the_index_of_a_long_log_stays_small() -> None:
    index = index_log([line(number, PART_BYTES) for number in range(1, 4 * MOST_PARTS)])

    assert len(index.parts) <= MOST_PARTS + 1
    assert len(index.model_dump_json()) < 64 * 1024


@pytest.mark.parametrize(("after", "limit"), [(0, 1), (5, 250)])
def test_an_empty_log_has_nothing(after: int, limit: int) -> None:
    assert index_log([]).find(after=after, limit=limit) == (0, ())
