"""A file with a part of a job's journal, signed, so that what another hand put there is never replayed.

Its first line is the signature of everything after it, in every version of this format; the second says, as JSON,
whose journal this is and which part; then come the entries, two lines each.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from pydantic import Field, ValidationError

from dspy_service.domain.artifact_manifest import SignatureError
from dspy_service.domain.artifact_paths import journal_segment
from dspy_service.domain.journal_entry import SCHEMA_VERSION
from dspy_service.domain.schema import Schema
from dspy_service.domain.schema_version import require_known_version

SEGMENT_BYTES: Final = 1 << 20
"""About how large a segment grows: it is read and checked in one go."""

_PURPOSE: Final = b"dspy-service/journal-segment\n"
"""Keeps these signatures apart from everything else that the same key signs."""
_NAME: Final = re.compile(r"(?P<fence>\d{8,})-(?P<number>\d{8,})\.seg")


class SegmentHead(Schema):
    """Which part of whose journal a segment holds; it must agree with the name under which it was found."""

    schema_version: int = SCHEMA_VERSION
    tenant: str
    job_id: str
    fence: Annotated[int, Field(ge=0)]
    """Of the attempt that wrote it."""
    number: Annotated[int, Field(ge=0)]
    """Among the segments of that attempt."""

    @property
    def path(self) -> str:
        """Where the segment stands in the artifact store."""
        return journal_segment(self.job_id, self.fence, self.number)


def encode_segment(head: SegmentHead, entries: Sequence[bytes], *, key: bytes) -> bytes:
    """Return the file that holds ``entries``, each as ``JournalEntry.text`` gives it."""
    rest = b"\n".join([head.model_dump_json().encode(), *entries])
    return _signature(rest, key) + b"\n" + rest


def decode_segment(data: bytes, head: SegmentHead, *, key: bytes) -> list[bytes]:
    """Return the entries of a file that must have been signed with this key for this place.

    Raises:
        SignatureError: any bit of it is otherwise.
        ConfigurationError: a newer release wrote it.
    """
    signature, _, rest = data.partition(b"\n")
    if not hmac.compare_digest(_signature(rest, key), signature):
        raise SignatureError("its signature is wrong")
    first, _, body = rest.partition(b"\n")
    try:
        found = SegmentHead.model_validate_json(first)
    except ValidationError as error:
        require_known_version("a journal", _version(first), known=SCHEMA_VERSION)
        raise SignatureError("its head is not one") from error
    require_known_version("a journal", found.schema_version, known=SCHEMA_VERSION)
    if found != head:
        raise SignatureError("it was signed for another place")
    lines = body.split(b"\n") if body else []
    return [b"\n".join(pair) for pair in zip(lines[::2], lines[1::2], strict=False)]


def head_at(path: str, *, tenant: str, job_id: str) -> SegmentHead | None:
    """Return what the segment at ``path`` must say of itself; None for a name that is no segment's of this job."""
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None:
        return None
    head = SegmentHead(tenant=tenant, job_id=job_id, fence=int(match["fence"]), number=int(match["number"]))
    return head if head.path == path else None


def next_number(paths: Sequence[str], *, tenant: str, job_id: str, fence: int) -> int:
    """Return the number for the next segment of an attempt, so that none that stands is replaced."""
    heads = (head_at(path, tenant=tenant, job_id=job_id) for path in paths)
    return 1 + max((head.number for head in heads if head is not None and head.fence == fence), default=0)


def pieces(entries: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Divide entries into what segments should hold, in their order; an entry is never divided."""
    piece: list[bytes] = []
    size = 0
    for entry in entries:
        piece.append(entry)
        size += len(entry)
        if size >= SEGMENT_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _version(first: bytes) -> int:
    match = re.search(rb'"schema_version":\s*(\d+)', first)
    return int(match[1]) if match else 0


def _signature(rest: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + rest, hashlib.sha256).hex().encode()
