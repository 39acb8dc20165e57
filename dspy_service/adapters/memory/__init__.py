"""The ports in memory, with the behaviour of the real ones: for tests and for trying things out."""

from dspy_service.adapters.memory.artifacts import MemoryArtifactStore
from dspy_service.adapters.memory.doorbell import MemoryDoorbell
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.adapters.memory.keys import MemoryKeyStore
from dspy_service.adapters.memory.rates import MemoryRateLimiter

__all__ = ["MemoryArtifactStore", "MemoryDoorbell", "MemoryJobStore", "MemoryKeyStore", "MemoryRateLimiter"]
