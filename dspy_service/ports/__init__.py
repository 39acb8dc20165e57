"""What we need from the outside, as Protocols; every adapter file ends with its proof of conformance.

All ports are asynchronous: the API serves on one event loop, and each job is supervised on one.
"""

from dspy_service.ports.artifacts import ArtifactStore
from dspy_service.ports.callers import KeyStore, RateLimiter
from dspy_service.ports.directory import WorkerDirectory
from dspy_service.ports.doorbell import Doorbell
from dspy_service.ports.events import EventLog, EventStream
from dspy_service.ports.index import JobIndex
from dspy_service.ports.journal import JournalTail
from dspy_service.ports.models import CallLedger, CallThrottle, ResponseCache
from dspy_service.ports.queue import JobQueue
from dspy_service.ports.records import JobRecords
from dspy_service.ports.store import JobStore
from dspy_service.ports.supervisor import Supervisor
from dspy_service.ports.webhooks import WebhookQueue, WebhookSender

__all__ = [
    "ArtifactStore",
    "CallLedger",
    "CallThrottle",
    "Doorbell",
    "EventLog",
    "EventStream",
    "JobIndex",
    "JobQueue",
    "JobRecords",
    "JobStore",
    "JournalTail",
    "KeyStore",
    "RateLimiter",
    "ResponseCache",
    "Supervisor",
    "WebhookQueue",
    "WebhookSender",
    "WorkerDirectory",
]
