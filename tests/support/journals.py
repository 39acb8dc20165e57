"""Stores that go away, lose their replies or die, and journals upon them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.job import Claim
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.journal_totals import JournalTotals
from dspy_service.ports import JournalTail
from tests.support.claims import JOB_ID
from workers.lm.durable_journal import DurableJournal

KEY = b"k" * 32


class Fault(Enum):
    AWAY = "nothing was written"
    REPLY_LOST = "it was written, and nobody hears of it"
    BUG = "the store says what it never should"


class Faults:
    """What the next calls of a store come to; without a fault they succeed. A dead store never answers."""

    def __init__(self) -> None:
        self.coming: deque[Fault] = deque()
        self.is_away = False
        self.is_dead = False
        self.waiting = asyncio.Event()

    async def before(self) -> Fault | None:
        if self.is_dead:
            self.waiting.set()
            await asyncio.Event().wait()
        fault = Fault.AWAY if self.is_away else self.coming.popleft() if self.coming else None
        if fault is Fault.AWAY:
            raise StoreUnavailableError("store")
        if fault is Fault.BUG:
            raise ZeroDivisionError("a bug")
        return fault

    def after(self, fault: Fault | None) -> None:
        if fault is Fault.REPLY_LOST:
            raise StoreUnavailableError("store")


class FaultyTail:
    """A journal's tail with faults."""

    def __init__(self, tail: JournalTail) -> None:
        self.inner = tail
        self.faults = Faults()
        self.batches: list[int] = []
        """How many answers came with each call."""

    async def add_answers(self, job_id: str, *, fence: int, answers: Sequence[str]) -> int:
        self.batches.append(len(answers))
        fault = await self.faults.before()
        end = await self.inner.add_answers(job_id, fence=fence, answers=answers)
        self.faults.after(fault)
        return end

    async def answers(self, job_id: str) -> tuple[int, list[str]]:
        return await self.inner.answers(job_id)

    async def drop_answers(self, job_id: str, *, fence: int, before: int) -> None:
        fault = await self.faults.before()
        await self.inner.drop_answers(job_id, fence=fence, before=before)
        self.faults.after(fault)

    async def texts(self) -> list[str]:
        """What stands in the tail."""
        return (await self.inner.answers(JOB_ID))[1]


class FaultyArtifacts(MemoryArtifactStore):
    """Files in memory, with faults when they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = Faults()

    async def put(self, path: str, data: bytes) -> None:
        fault = await self.faults.before()
        await super().put(path, data)
        self.faults.after(fault)


async def eventually(condition: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Let the loop run until the condition holds; TimeoutError when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # whatever changes it has no event of its own
            await asyncio.sleep(0.001)


async def all_has_run() -> None:
    """Let the loop do everything that waits for nobody; stores in memory need no more."""
    for _ in range(100):
        await asyncio.sleep(0)


async def open_journal(
    claim: Claim,
    tail: JournalTail,
    artifacts: MemoryArtifactStore,
    *,
    max_bytes: int = 1 << 30,
    close_seconds: float = 2.0,
    on_entry: Callable[[JournalEntry], None] = lambda _entry: None,
    on_totals: Callable[[JournalTotals], None] = lambda _totals: None,
) -> DurableJournal:
    return await DurableJournal.open(
        claim,
        tail=tail,
        artifacts=artifacts,
        secret_key=KEY,
        max_bytes=max_bytes,
        close_seconds=close_seconds,
        on_entry=on_entry,
        on_totals=on_totals,
    )
