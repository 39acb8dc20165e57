"""Moves a journal's tail to signed segments in the artifact store, so that the job store keeps little of it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dspy_service.domain.journal_segment import SEGMENT_BYTES, SegmentHead, encode_segment, pieces
from dspy_service.domain.journal_totals import condensed
from dspy_service.domain.store_outage import repeat_while_away
from dspy_service.ports import ArtifactStore, JournalTail

PERIOD_SECONDS: Final = 2.0
BACKLOG_BYTES: Final = 32 << 20
"""What the tail may hold while the artifact store is away; then answers wait before they enter it."""


@dataclass(frozen=True)
class _Batch:
    """Entries that stand in the tail, below the number ``end``."""

    texts: Sequence[bytes] = field(repr=False)
    size: int
    end: int


class SegmentWriter:
    """Writes for one attempt, on its event loop.

    Args:
        head: Of the attempt's segments; ``number`` is that of the last one that stands.
        tail: What is stored leaves it.
        artifacts: Where segments go.
        secret_key: Signs them.
        period_seconds: How long an answer waits at most for its segment, while the store answers.
    """

    def __init__(
        self,
        head: SegmentHead,
        *,
        tail: JournalTail,
        artifacts: ArtifactStore,
        secret_key: bytes,
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self._head = head
        self._tail = tail
        self._artifacts = artifacts
        self._secret_key = secret_key
        self._period_seconds = period_seconds
        self._batches: deque[_Batch] = deque()
        self._backlog = 0
        self._is_closing = False
        self._has_work = asyncio.Event()
        self._is_due = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def take_over(self, texts: Sequence[bytes], *, end: int) -> None:
        """Take what an earlier attempt left in the tail, of which ``texts`` stand in no segment yet."""
        for piece in pieces(texts):
            self.add(piece, end=0)
        self.add([], end=end)

    def add(self, texts: Sequence[bytes], *, end: int) -> None:
        """Take entries that stand in the tail; it may be dropped up to the number ``end`` once they are stored."""
        size = sum(len(text) for text in texts)
        self._batches.append(_Batch(texts, size, end))
        self._backlog += size
        self._has_work.set()
        if self._backlog >= SEGMENT_BYTES:
            self._is_due.set()
        if self._backlog >= BACKLOG_BYTES:
            self._has_room.clear()

    async def room(self) -> None:
        """Wait while too much stands in the tail already."""
        await self._has_room.wait()

    def close(self) -> None:
        """Let :meth:`run` store what is left and return."""
        self._is_closing = True
        self._has_work.set()
        self._is_due.set()

    async def run(self) -> None:
        """Cut segments until closed.

        Raises:
            LeaseLostError: another worker holds the job; it reads the tail itself.
        """
        while not self._is_closing or self._batches:
            await self._has_work.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._period_seconds):
                    await self._is_due.wait()
            while self._batches:
                await self._cut()
                if not self._is_due.is_set():
                    break  # what came meanwhile waits its own while, or each answer would be a file

    async def _cut(self) -> None:
        taken = self._next()
        texts = condensed([text for batch in taken for text in batch.texts])
        if texts:
            await repeat_while_away(lambda: self._store(texts))
        self._forget(taken)
        end = taken[-1].end
        await repeat_while_away(lambda: self._tail.drop_answers(self._head.job_id, fence=self._head.fence, before=end))

    async def _store(self, texts: Sequence[bytes]) -> None:
        """Write a segment under a number of its own: an earlier try may still be on its way to its place."""
        self._head = self._head.model_copy(update={"number": self._head.number + 1})
        await self._artifacts.put(self._head.path, encode_segment(self._head, texts, key=self._secret_key))

    def _next(self) -> list[_Batch]:
        taken: list[_Batch] = []
        size = 0
        for batch in self._batches:
            taken.append(batch)
            size += batch.size
            if size >= SEGMENT_BYTES:
                break
        return taken

    def _forget(self, taken: Sequence[_Batch]) -> None:
        for batch in taken:
            self._batches.popleft()
            self._backlog -= batch.size
        if self._backlog < BACKLOG_BYTES:
            self._has_room.set()
        if self._is_closing:
            return
        if not self._batches:
            self._has_work.clear()
        if self._backlog < SEGMENT_BYTES:
            self._is_due.clear()
