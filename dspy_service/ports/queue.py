"""The queue of waiting jobs: who is next, and who must be rung for."""

from typing import Protocol

from dspy_service.domain.queue import Place, QueueFigures


class JobQueue(Protocol):
    """Order: the tenant with the fewest running jobs first, then higher priority, then whoever waits longest.

    A job that its worker gave back, or lost, has the place that it had before.
    """

    async def next_job(self, *, tenant_running_jobs: int = 0) -> str | None:
        """Return the job that a free slot should claim now; None when no waiting job may run.

        Args:
            tenant_running_jobs: A tenant with so many running jobs is passed over; 0: any number.
        """
        ...

    async def place(self, job_id: str) -> Place | None:
        """Return where a waiting job stands; None when it does not wait."""
        ...

    async def figures(self) -> QueueFigures:
        """Return what operators watch: how many wait and run, and how long the oldest has waited."""
        ...

    async def due(self, *, limit: int) -> list[str]:
        """Return job ids whose doorbell must ring now, and put each one's next ring off (with back-off)."""
        ...

    async def wait_for_submit(self, timeout_seconds: float) -> bool:
        """Wait until a job began to wait, or a slot became free for one, or the time is up; False for the latter."""
        ...
