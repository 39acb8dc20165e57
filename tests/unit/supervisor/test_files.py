"""The files of an artifact, piece by piece."""

import base64
import json

import pytest

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame
from workers.supervisor.files import FileCollector


def _blob(name: str, data: bytes, *, last: bool = True) -> Frame:
    return {"t": "blob", "name": name, "data": base64.b64encode(data).decode(), "last": last}


def test_pieces_make_a_file_once_the_last_has_come() -> None:
    collector = FileCollector(1 << 20)
    collector.take(_blob("program.pkl", b"one ", last=False))
    before = dict(collector.whole())
    collector.take(_blob("program.json", b"{}"))

    collector.take(_blob("program.pkl", b"two"))

    assert before == {}
    assert collector.whole() == {"program.pkl": b"one two", "program.json": b"{}"}


@pytest.mark.parametrize(
    "frame",
    [
        _blob("../../etc/passwd", b""),
        _blob("result.json", b"{}"),
        {**_blob("program.pkl", b""), "data": "not base64!"},
        {**_blob("program.pkl", b""), "data": None},
        {**_blob("program.pkl", b""), "name": ["program.pkl"]},
        _blob("metadata.json", b"not json"),
        _blob("metadata.json", b"[]"),
        _blob("metadata.json", b'{"a": NaN}'),
    ],
)
def test_other_names_and_broken_pieces_break_the_protocol(frame: Frame) -> None:
    with pytest.raises(ProtocolError):
        FileCollector(1 << 20).take(frame)


def test_a_finished_file_cannot_be_replaced() -> None:
    collector = FileCollector(1 << 20)
    collector.take(_blob("program.pkl", b"one"))

    with pytest.raises(ProtocolError):
        collector.take(_blob("program.pkl", b"two"))


def test_an_artifact_has_a_largest_size() -> None:
    collector = FileCollector(10)
    collector.take(_blob("program.pkl", b"123456", last=False))

    with pytest.raises(ProtocolError, match="larger than the 10"):
        collector.take(_blob("program.pkl", b"123456"))


def test_metadata_is_made_safe_to_show_and_the_program_stays_as_it_is() -> None:
    collector = FileCollector(1 << 20)
    collector.take(_blob("metadata.json", b'{"name\\n": "\\u001b[2J"}'))
    collector.take(_blob("program.json", b'{"name": "\\u001b[2J"}'))

    files = collector.whole()

    assert json.loads(files["metadata.json"]) == {"name ": "\\x1b[2J"}
    assert files["program.json"] == b'{"name": "\\u001b[2J"}'


@pytest.mark.parametrize("metadata", [b" " * (2 << 20), b"[" + b"[]," * 120_000 + b"0]"], ids=["long", "many values"])
def test_metadata_has_a_largest_size(metadata: bytes) -> None:
    with pytest.raises(ProtocolError):
        FileCollector(16 << 20).take(_blob("metadata.json", metadata))
