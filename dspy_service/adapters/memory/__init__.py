"""The ports in memory, with the behaviour of the real ones: for tests and for trying things out."""

from dspy_service.adapters.memory.artifacts import MemoryArtifactStore
from dspy_service.adapters.memory.doorbell import MemoryDoorbell
from dspy_service.adapters.memory.jobs import MemoryJobStore

__all__ = ["MemoryArtifactStore", "MemoryDoorbell", "MemoryJobStore"]
