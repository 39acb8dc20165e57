"""Frames between runner and supervisor."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import FrameReader, encode, pack, refuse_many_values

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(_JSON, max_size=5), st.data())
def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut(values: list[object], data: st.DataObject) -> None:
    stream = b"".join(encode({"t": "x", "value": value}) for value in values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    reader = FrameReader()

    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    frames = [frame for piece in pieces for frame in reader.feed(piece)]

    assert [frame["value"] for frame in frames] == values
    assert reader.pending_bytes == 0


def test_a_length_beyond_the_cap_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(ProtocolError, match="at most 10 "):
        list(FrameReader(max_frame_bytes=10).feed(struct.pack("!I", 11)))


def test_a_frame_beyond_the_cap_is_not_made() -> None:
    with pytest.raises(ProtocolError, match="larger than 10"):
        encode({"t": "x", "value": "long enough"}, max_frame_bytes=10)


@given(_JSON)
def test_more_values_than_allowed_are_always_noticed_and_half_as_many_never(value: object) -> None:
    body = json.dumps(value, separators=(",", ":")).encode()
    values = _values(value)

    refuse_many_values(body, max_values=2 * values)
    with pytest.raises(ProtocolError, match="more than"):
        refuse_many_values(body, max_values=values - 1)


def test_text_that_is_nothing_but_quotes_is_not_read_to_its_end() -> None:
    with pytest.raises(ProtocolError, match="more than 10 values"):
        refuse_many_values(b'""' * 100, max_values=10)


def test_a_frame_of_too_many_values_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="more than 10 values"):
        encode({"t": "x", "value": [1] * 20}, max_values=10)


def _values(value: object) -> int:
    """Count containers and what stands in them; a name belongs to its value."""
    if isinstance(value, dict):
        return 1 + sum(_values(each) for each in value.values())
    return 1 + sum(_values(each) for each in value) if isinstance(value, list) else 1


@pytest.mark.parametrize(
    "body",
    [b'{"t":"x","v":[' + b"[]," * 1000 + b"0]}", b'{"t":"x","v":"' + b'\\"' * 5000, b'{"t":"x","v":' + b'{"a":' * 1000],
)
def test_a_frame_of_many_values_is_refused_before_they_are_made(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(FrameReader(max_values=100).feed(pack(body)))


def test_a_long_text_full_of_commas_and_brackets_is_one_value() -> None:
    frame = {"t": "x", "v": '[{,}]\\" ' * 10_000}

    assert list(FrameReader(max_values=100).feed(encode(frame))) == [frame]
