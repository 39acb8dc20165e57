"""The ports in memory, with the behaviour of the real ones: for tests and for trying things out."""

from dspy_service.adapters.memory.artifacts import MemoryArtifactStore
from dspy_service.adapters.memory.cache import MemoryResponseCache
from dspy_service.adapters.memory.call_ledger import MemoryCallLedger
from dspy_service.adapters.memory.conversations import MemoryConversationStore
from dspy_service.adapters.memory.doorbell import MemoryDoorbell
from dspy_service.adapters.memory.event_stream import MemoryEventStream
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.adapters.memory.keys import MemoryKeyStore
from dspy_service.adapters.memory.programs import MemoryProgramStore
from dspy_service.adapters.memory.rates import MemoryRateLimiter
from dspy_service.adapters.memory.runs import MemoryRunStore
from dspy_service.adapters.memory.throttle import MemoryCallThrottle

__all__ = [
    "MemoryArtifactStore",
    "MemoryCallLedger",
    "MemoryCallThrottle",
    "MemoryConversationStore",
    "MemoryDoorbell",
    "MemoryEventStream",
    "MemoryJobStore",
    "MemoryKeyStore",
    "MemoryProgramStore",
    "MemoryRateLimiter",
    "MemoryResponseCache",
    "MemoryRunStore",
]
