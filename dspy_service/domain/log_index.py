"""Says where the events stand in an archived log, and what its parts are, so that a page is read without the rest."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from dspy_service.domain.events import Event
from dspy_service.domain.schema import Schema

PART_BYTES = 32 * 1024
"""A part ends with the line that makes it so long, which is about a page of events."""
MOST_PARTS = 512
"""A long log has longer parts instead of more: its index, some 50 KB then, is read with every page."""


class LogPart(Schema):
    """Some whole lines of a log."""

    first_seq: Annotated[int, Field(ge=1)]
    """Number of the event in its first line."""
    byte_count: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class LogIndex(Schema):
    """All parts of a log, in order and without a hole."""

    schema_version: Literal[1] = 1
    parts: tuple[LogPart, ...]

    def find(self, *, after: int, limit: int) -> tuple[int, Sequence[LogPart]]:
        """Return the parts with the first ``limit`` events after a number, and in which byte the first one begins."""
        numbers = [part.first_seq for part in self.parts]
        begin = max(0, bisect_right(numbers, after + 1) - 1)
        end = bisect_right(numbers, max(after, numbers[0] - 1 if numbers else 0) + limit)
        return sum(part.byte_count for part in self.parts[:begin]), self.parts[begin:end]


def index_log(lines: Sequence[bytes]) -> LogIndex:
    """Return the index of a log with these lines, each an event with its line end; numbers rise by one."""
    part_bytes = max(PART_BYTES, sum(map(len, lines)) // MOST_PARTS)
    return LogIndex(parts=tuple(_parts(lines, part_bytes)))


def _parts(lines: Sequence[bytes], part_bytes: int) -> Iterator[LogPart]:
    part: list[bytes] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line)
        if size >= part_bytes:
            yield _part(part)
            part, size = [], 0
    if part:
        yield _part(part)


def _part(lines: Sequence[bytes]) -> LogPart:
    text = b"".join(lines)
    first_seq = Event.model_validate_json(lines[0]).seq
    return LogPart(first_seq=first_seq, byte_count=len(text), sha256=hashlib.sha256(text).hexdigest())
