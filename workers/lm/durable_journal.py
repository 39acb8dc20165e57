"""The journal that outlives its worker: in the job store before anybody sees an answer, in the artifact store soon."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.job import Claim
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.journal_segment import SegmentHead, next_number
from dspy_service.domain.journal_totals import JournalTotals
from dspy_service.ports import ArtifactStore, JournalTail
from workers.lm.journal import Found
from workers.lm.journal_reader import JournalReader
from workers.lm.kept_answers import KeptAnswers
from workers.lm.segment_writer import SegmentWriter
from workers.lm.tail_writer import NewText, TailWriter
from workers.lm.unkept_costs import UnkeptCosts

if TYPE_CHECKING:
    from workers.lm.journal import Journal

_log: Final = logging.getLogger(__name__)
_CLOSE_SECONDS: Final = 2.0


class DurableJournal:
    """Serves one attempt, on its event loop. Make one with :meth:`open`.

    An answer goes to the tail in the job store, under the attempt's fence, and is seen after that; every two seconds
    or mebibyte, what stands there moves to a segment in the artifact store. A store that is away is waited for. Of an
    answer that has no room, what it cost is kept.
    """

    def __init__(
        self,
        claim: Claim,
        kept: KeptAnswers,
        segments: SegmentWriter,
        tail: JournalTail,
        *,
        unkept: UnkeptCosts,
        close_seconds: float = _CLOSE_SECONDS,
    ) -> None:
        self._claim = claim
        self._kept = kept
        self._earlier_end = kept.end
        self._used: set[int] = set()
        self._segments = segments
        self._close_seconds = close_seconds
        self._unkept = unkept
        self._not_at_hand: set[str] = set()
        self._is_full = False
        self._call_when_lost: list[Callable[[], None]] = []
        self._writer = TailWriter(
            tail, job_id=claim.job.job_id, fence=claim.fence, on_kept=self._on_kept, on_lost=self._on_lost
        )
        self._moving = asyncio.create_task(self._move())
        self._moving.add_done_callback(_tell_bug)

    @classmethod
    async def open(
        cls,
        claim: Claim,
        *,
        tail: JournalTail,
        artifacts: ArtifactStore,
        secret_key: bytes,
        max_bytes: int,
        on_entry: Callable[[JournalEntry], None],
        on_totals: Callable[[JournalTotals], None],
        close_seconds: float = _CLOSE_SECONDS,
    ) -> "DurableJournal":
        """Return the journal of a job with everything that its earlier attempts got.

        Args:
            claim: Whose fence every write names.
            tail: Where answers are kept first.
            artifacts: Where they are kept in the end.
            secret_key: Signs segments.
            max_bytes: Of all answers. Past it, only what new ones cost is kept, so that a runner that asks without end
                can fill no store; a call that comes again is then made again, and paid again.
            on_entry: Told each entry that is there already, once.
            on_totals: Told what answers cost that were not kept, by attempt, role and model.
            close_seconds: How long ``aclose`` tries to store the last segment; till then, it stands in the tail.

        Raises:
            ConfigurationError: a newer release wrote a part of it.
            StoreUnavailableError: a store does not answer.
        """
        job, fence = claim.job, claim.fence
        reader = JournalReader(claim, tail=tail, artifacts=artifacts, secret_key=secret_key)
        kept = KeptAnswers(max_bytes)
        try:
            paths = await reader.paths()
            async for entries in reader.segments(paths):
                _load(kept, entries, on_entry)
            end, entries = await reader.tail_entries()
        except BaseException:
            kept.close()
            raise
        number = next_number(paths, tenant=job.tenant, job_id=job.job_id, fence=fence)
        head = SegmentHead(tenant=job.tenant, job_id=job.job_id, fence=fence, number=number - 1)
        segments = SegmentWriter(head, tail=tail, artifacts=artifacts, secret_key=secret_key)
        fresh = _load(kept, entries, on_entry)
        for totals in reader.totals:
            on_totals(totals)
        if entries or reader.totals:
            segments.take_over([*fresh, *(totals.text() for totals in reader.totals)], end=end)
        unkept = UnkeptCosts(fence, reader.totals)
        return cls(claim, kept, segments, tail, unkept=unkept, close_seconds=close_seconds)

    def find(self, key: str) -> Found | None:
        """See Journal."""
        found = self._kept.find(key)
        if found is None:
            return None
        place, text = found
        try:
            entry = JournalEntry.parse(text)
        except ValueError:
            _log.exception("An answer of job %s cannot be read back.", self._claim.job.job_id)
            self._not_at_hand.add(key)
            return None  # the temporary file was damaged: one call more is better than no answer
        if place >= self._earlier_end:
            return Found(entry)
        is_first = place not in self._used
        self._used.add(place)
        return Found(entry, is_replayed=is_first, is_earlier=True)

    async def keep(self, entry: JournalEntry) -> JournalEntry:
        """See Journal."""
        found = self.find(entry.key)
        if found is not None:
            return found.entry
        text = entry.text()
        await self._segments.room()
        if self._kept.has_room(text) and entry.key not in self._not_at_hand:
            await self._writer.write(NewText(text, key=entry.key))
            return entry
        self._note_unkept(entry.key)
        if entry.is_paid:
            await self._writer.write(NewText(self._unkept.add(entry)))
        return entry

    def when_lost(self, call: Callable[[], None]) -> None:
        """See Journal."""
        self._call_when_lost.append(call)

    async def aclose(self) -> None:
        """See Journal: what cannot be stored now stands in the tail."""
        await self._writer.aclose()
        self._segments.close()
        await asyncio.wait({self._moving}, timeout=self._close_seconds)
        self._moving.cancel()
        await asyncio.wait({self._moving})
        self._kept.close()

    def _on_kept(self, news: Sequence[NewText], end: int) -> None:
        self._segments.add([new.text for new in news], end=end)  # first: it is the one that must not fail
        for new in news:
            if new.key is None:
                continue
            try:
                self._kept.add(new.key, new.text)
            except OSError as error:
                self._not_at_hand.add(new.key)
                _log.warning("An answer of job %s is not at hand again: %s", self._claim.job.job_id, error)

    def _on_lost(self) -> None:
        _log.warning("The journal of job %s is another worker's now.", self._claim.job.job_id)
        for call in self._call_when_lost:
            call()

    async def _move(self) -> None:
        try:
            await self._segments.run()
        except LeaseLostError:
            self._on_lost()

    def _note_unkept(self, key: str) -> None:
        if not self._is_full and key not in self._not_at_hand:
            self._is_full = True
            _log.warning(
                "The journal of job %s is full; of further answers only the cost is kept.", self._claim.job.job_id
            )


def _load(
    kept: KeptAnswers, entries: Sequence[tuple[JournalEntry, bytes]], on_entry: Callable[[JournalEntry], None]
) -> list[bytes]:
    """Keep the entries whose key has none, and return their texts."""
    fresh = []
    for entry, text in entries:
        if kept.add(entry.key, text):
            on_entry(entry)
            fresh.append(text)
    return fresh


def _tell_bug(moving: asyncio.Task[None]) -> None:
    """Say that answers stay in the tail; they are safe there, and the next attempt moves them."""
    if not moving.cancelled() and (error := moving.exception()) is not None:
        _log.error("A journal's segments are written no more.", exc_info=error)


if TYPE_CHECKING:

    def _proof(journal: DurableJournal) -> Journal:
        return journal
