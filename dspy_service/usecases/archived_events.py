"""Reads events of an archived log: all of them, or a page at a cost that does not depend on the rest."""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence

from dspy_service.domain.artifact_paths import EVENTS, EVENTS_INDEX, attempt_folder, file_in
from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.events import Event
from dspy_service.domain.job import Job
from dspy_service.domain.log_index import LogIndex, LogPart
from dspy_service.ports import ArtifactStore
from dspy_service.usecases.signed_files import read_signed


async def read_archived(
    job: Job, *, after: int, limit: int | None, artifacts: ArtifactStore, secret_key: bytes
) -> list[Event]:
    """Return archived events with ``seq > after``, oldest first; of the log, a page reads little more than itself.

    The manifest signs the index, and the index has the hash of each part of the log: so nothing is parsed that was not
    verified, although the log is not read as a whole.

    Raises:
        FileNotStoredError: the archive was removed.
        ArtifactCorruptError: what was read is not what was signed.
    """
    if limit is not None:
        index = await _index(job, artifacts, secret_key)
        if index is not None:
            log = await _part_of_log(job, index, artifacts, after=after, limit=limit)
            return await asyncio.to_thread(_parse, log, after, limit)
    log = await read_signed(job, EVENTS, artifacts=artifacts, secret_key=secret_key)
    return await asyncio.to_thread(_parse, log, after, limit)


async def _index(job: Job, artifacts: ArtifactStore, secret_key: bytes) -> LogIndex | None:
    try:
        data = await read_signed(job, EVENTS_INDEX, artifacts=artifacts, secret_key=secret_key)
    except FileNotStoredError:
        return None  # an archive from before there were indices; whether there is one at all, the log tells
    return LogIndex.model_validate_json(data)


async def _part_of_log(job: Job, index: LogIndex, artifacts: ArtifactStore, *, after: int, limit: int) -> bytes:
    """Return the verified lines in which these events are, with some before and after them."""
    first_byte, parts = index.find(after=after, limit=limit)
    if not parts:
        return b""
    path = file_in(attempt_folder(job.job_id, job.archive_fence), EVENTS)
    byte_count = sum(part.byte_count for part in parts)
    try:
        data = await artifacts.get_part(path, first_byte=first_byte, byte_count=byte_count)
    except FileNotStoredError as error:
        raise ArtifactCorruptError(path, "it is signed, and not there") from error
    if not await asyncio.to_thread(_are_these, parts, data):
        raise ArtifactCorruptError(path, "its content is not what was signed")
    return data


def _are_these(parts: Sequence[LogPart], data: bytes) -> bool:
    begin = 0
    for part in parts:
        found = hashlib.sha256(data[begin : begin + part.byte_count]).hexdigest()
        if not hmac.compare_digest(found, part.sha256):
            return False
        begin += part.byte_count
    return begin == len(data)


def _parse(log: bytes, after: int, limit: int | None) -> list[Event]:
    """Return events with ``seq > after``: numbers rise by one from that of the first line."""
    lines = log.splitlines()
    missing = Event.model_validate_json(lines[0]).seq - 1 if lines else 0
    begin = max(0, after - missing)
    end = None if limit is None else begin + limit
    return [Event.model_validate_json(line) for line in lines[begin:end]]
