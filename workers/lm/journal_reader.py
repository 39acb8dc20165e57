"""Reads what earlier attempts of a job left of its journal: the segments in their order, then the tail."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from dspy_service.domain.artifact_manifest import SignatureError
from dspy_service.domain.artifact_paths import journal_folder
from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.job import Claim
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.journal_segment import SegmentHead, decode_segment, head_at
from dspy_service.domain.journal_totals import JournalTotals, is_totals, newest
from dspy_service.ports import ArtifactStore, JournalTail

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 32
"""Segments on their way at a time: one by one, a day's worth from a bucket would take minutes."""
_PIECE: Final = 500
"""Entries of the tail between two looks at what else the event loop has to do."""

T = TypeVar("T")


class JournalReader:
    """Reads for one attempt, once.

    Args:
        claim: Of the attempt.
        tail: The newest answers.
        artifacts: The others.
        secret_key: Has signed them.
    """

    def __init__(self, claim: Claim, *, tail: JournalTail, artifacts: ArtifactStore, secret_key: bytes) -> None:
        self._claim = claim
        self._tail = tail
        self._artifacts = artifacts
        self._secret_key = secret_key
        self.skipped = 0
        """Files and entries that were no part of this journal; each was logged."""
        self.totals: list[JournalTotals] = []
        """What answers that were not kept have cost, as far as it was read; the last word of each attempt."""

    async def paths(self) -> list[str]:
        """Return where segments stand, oldest first. Raises StoreUnavailableError."""
        return await self._artifacts.list(journal_folder(self._claim.job.job_id))

    async def segments(self, paths: Sequence[str]) -> AsyncIterator[list[tuple[JournalEntry, bytes]]]:
        """Yield the entries of each segment, with their texts; running totals are noted.

        Raises:
            ConfigurationError: a newer release wrote one.
            StoreUnavailableError: the artifact store does not answer.
        """
        for some in _chunks(self._heads(paths), _AT_ONCE):
            for head, data in zip(some, await asyncio.gather(*(self._get(head) for head in some)), strict=True):
                yield self._decoded(head, data)
                await asyncio.sleep(0)

    async def tail_entries(self) -> tuple[int, list[tuple[JournalEntry, bytes]]]:
        """Return the number after the last text of the tail, and its entries; running totals are noted."""
        end, texts = await self._tail.answers(self._claim.job.job_id)
        entries: list[tuple[JournalEntry, bytes]] = []
        for some in _chunks(texts, _PIECE):
            entries += self._parsed([text.encode() for text in some], "the tail")
            await asyncio.sleep(0)
        return end, entries

    def _heads(self, paths: Sequence[str]) -> Iterator[SegmentHead]:
        job = self._claim.job
        for path in paths:
            head = head_at(path, tenant=job.tenant, job_id=job.job_id)
            if head is None:
                self._skip(path, "it has no segment's name")
            else:
                yield head

    async def _get(self, head: SegmentHead) -> bytes | None:
        try:
            return await self._artifacts.get(head.path)
        except (FileNotStoredError, ArtifactCorruptError) as error:
            self._skip(head.path, str(error))
            return None

    def _decoded(self, head: SegmentHead, data: bytes | None) -> list[tuple[JournalEntry, bytes]]:
        if data is None:
            return []
        try:
            return self._parsed(decode_segment(data, head, key=self._secret_key), head.path)
        except SignatureError as error:
            self._skip(head.path, str(error))
            return []

    def _parsed(self, texts: Iterable[bytes], where: str) -> list[tuple[JournalEntry, bytes]]:
        entries = []
        for text in texts:
            try:
                if is_totals(text):
                    self.totals = list(newest([*self.totals, JournalTotals.parse(text)]).values())
                else:
                    entries.append((JournalEntry.parse(text), text))
            except ValueError as error:
                self._skip(where, str(error))
        return entries

    def _skip(self, where: str, why: str) -> None:
        self.skipped += 1
        _log.warning("A part of a journal is left out (%s): %s.", where, why)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
