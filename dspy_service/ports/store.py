"""Everything that one atomic store keeps about jobs."""

from typing import Protocol

from dspy_service.ports.directory import WorkerDirectory
from dspy_service.ports.events import EventLog
from dspy_service.ports.index import JobIndex
from dspy_service.ports.journal import JournalTail
from dspy_service.ports.queue import JobQueue
from dspy_service.ports.records import JobRecords
from dspy_service.ports.webhooks import WebhookQueue


class JobStore(JobRecords, EventLog, JobQueue, JobIndex, JournalTail, WebhookQueue, WorkerDirectory, Protocol):
    """One store for all of these: a change of state, its event and its place in the queue are one step."""
