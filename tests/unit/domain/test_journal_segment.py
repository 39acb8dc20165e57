"""Files with parts of a journal."""

import hashlib
import hmac

import pytest

from dspy_service.domain.artifact_manifest import SignatureError
from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.journal_segment import (
    SEGMENT_BYTES,
    SegmentHead,
    decode_segment,
    encode_segment,
    head_at,
    next_number,
    pieces,
)

_KEY = b"k" * 32
_HEAD = SegmentHead(tenant="local", job_id="j1", fence=3, number=7)
_ENTRIES = [b'[1]\n"response":{}', b'[2]\n"error":{}']


def test_a_segment_is_read_as_it_was_written() -> None:
    data = encode_segment(_HEAD, _ENTRIES, key=_KEY)

    assert decode_segment(data, _HEAD, key=_KEY) == _ENTRIES
    assert decode_segment(encode_segment(_HEAD, [], key=_KEY), _HEAD, key=_KEY) == []


def test_any_other_byte_breaks_the_signature() -> None:
    data = encode_segment(_HEAD, _ENTRIES, key=_KEY)

    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(SignatureError):
            decode_segment(changed, _HEAD, key=_KEY)


@pytest.mark.parametrize("data", [b"", b"\n", b"not a segment", b"\xff\n\xff"])
def test_anything_else_is_no_segment(data: bytes) -> None:
    with pytest.raises(SignatureError):
        decode_segment(data, _HEAD, key=_KEY)


def test_another_key_signs_in_vain() -> None:
    with pytest.raises(SignatureError, match="signature"):
        decode_segment(encode_segment(_HEAD, _ENTRIES, key=b"x" * 32), _HEAD, key=_KEY)


@pytest.mark.parametrize("change", [{"tenant": "b"}, {"job_id": "j2"}, {"fence": 4}, {"number": 8}])
def test_a_segment_does_not_pass_for_one_of_another_place(change: dict[str, object]) -> None:
    data = encode_segment(_HEAD.model_copy(update=change), _ENTRIES, key=_KEY)

    with pytest.raises(SignatureError, match="another place"):
        decode_segment(data, _HEAD, key=_KEY)


@pytest.mark.parametrize("more", [b"", b',"compression":"zstd"'])
def test_a_segment_of_a_newer_release_is_an_error_that_says_what_to_do(more: bytes) -> None:
    rest = _HEAD.model_dump_json().encode().replace(b'"schema_version":1', b'"schema_version":2' + more) + b"\n???"
    signature = hmac.digest(_KEY, b"dspy-service/journal-segment\n" + rest, hashlib.sha256).hex().encode()

    with pytest.raises(ConfigurationError, match=r"version 2.*upgrade"):
        decode_segment(signature + b"\n" + rest, _HEAD, key=_KEY)


def test_a_head_that_is_signed_and_unreadable_is_left_out() -> None:
    rest = b'{"schema_version":1}'
    signature = hmac.digest(_KEY, b"dspy-service/journal-segment\n" + rest, hashlib.sha256).hex().encode()

    with pytest.raises(SignatureError, match="head"):
        decode_segment(signature + b"\n" + rest, _HEAD, key=_KEY)


def test_a_name_says_which_segment_must_stand_there() -> None:
    assert head_at(_HEAD.path, tenant="local", job_id="j1") == _HEAD


@pytest.mark.parametrize(
    "path",
    ["j1/journal/notes.txt", "j1/journal/3-7.seg", "j2/journal/00000003-00000007.seg", "00000003-00000007.seg"],
)
def test_other_names_are_no_segments(path: str) -> None:
    assert head_at(path, tenant="local", job_id="j1") is None


def test_the_next_number_is_beyond_every_one_of_the_same_attempt() -> None:
    paths = [_HEAD.path, _HEAD.model_copy(update={"fence": 4, "number": 30}).path, "j1/journal/notes.txt"]

    assert next_number(paths, tenant="local", job_id="j1", fence=3) == 8
    assert next_number(paths, tenant="local", job_id="j1", fence=5) == 1


def test_segments_sort_in_the_order_in_which_they_were_written() -> None:
    heads = [
        _HEAD.model_copy(update={"fence": fence, "number": number}) for fence in (2, 10) for number in (1, 9, 10, 100)
    ]

    assert sorted(head.path for head in heads) == [head.path for head in heads]


def test_many_entries_are_divided_in_their_order() -> None:
    entries = [bytes([65 + number]) * 400_000 for number in range(7)]

    divided = list(pieces(entries))

    assert [len(piece) for piece in divided] == [3, 3, 1]
    assert [entry for piece in divided for entry in piece] == entries


def test_a_large_entry_is_a_piece_of_its_own_and_nothing_is_none() -> None:
    assert list(pieces([b"x" * 2 * SEGMENT_BYTES, b"y"])) == [[b"x" * 2 * SEGMENT_BYTES], [b"y"]]
    assert list(pieces([])) == []
