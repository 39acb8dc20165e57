"""How a worker is called."""

from typing import Protocol


class Doorbell(Protocol):
    """Tells some worker that a job waits. A ring may be lost or doubled; the record is the truth."""

    async def ring(self, job_id: str) -> None:
        """Publish the job's id. Raises StoreUnavailableError."""
        ...

    async def waiting(self) -> int:
        """Return how many rings no worker has taken yet. Raises StoreUnavailableError."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
