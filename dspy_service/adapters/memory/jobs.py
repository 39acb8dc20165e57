"""The job store in memory: the same states, fences, numbering and back-off as in Redis."""

from typing import TYPE_CHECKING

from dspy_service.adapters.memory.directory import MemoryWorkerDirectory
from dspy_service.adapters.memory.event_log import MemoryEventLog
from dspy_service.adapters.memory.index import MemoryJobIndex
from dspy_service.adapters.memory.job_ends import MemoryJobEnds
from dspy_service.adapters.memory.journal_tail import MemoryJournalTail
from dspy_service.adapters.memory.queue import MemoryJobQueue
from dspy_service.adapters.memory.records import MemoryJobRecords
from dspy_service.adapters.memory.webhook_queue import MemoryWebhookQueue

if TYPE_CHECKING:
    from dspy_service.ports import JobStore


class MemoryJobStore(
    MemoryJobRecords,
    MemoryJobEnds,
    MemoryEventLog,
    MemoryJobQueue,
    MemoryJobIndex,
    MemoryJournalTail,
    MemoryWebhookQueue,
    MemoryWorkerDirectory,
):
    """Jobs of one process."""

    async def aclose(self) -> None:
        """Nothing to release."""


if TYPE_CHECKING:
    _proof: JobStore = MemoryJobStore()
