"""What a worker says about itself."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from dspy_service.domain.schema import Schema

SandboxLevel = Literal["L1", "L2"]
"""How submitted code is confined: L1 own process and limits, L2 Landlock and seccomp on top."""

JOBS_QUEUE = "jobs"
SERVING_QUEUE = "serving"
"""What a worker may be started for."""


class WorkerInfo(Schema):
    """One live worker process (a Celery parent), as shown by ``/health``."""

    worker_id: str
    """``host:pid:start`` of the parent process; unique."""
    queues: tuple[str, ...]
    concurrency: Annotated[int, Field(ge=1)]
    """Its pool children: each runs one job at a time, or serves many runs."""
    sandbox_level: SandboxLevel
    missing: tuple[str, ...] = ()
    """What keeps this machine from the next level, as sentences."""
    started_at: datetime

    @property
    def serves(self) -> bool:
        """Whether it carries out runs of deployed programs."""
        return SERVING_QUEUE in self.queues

    @property
    def only_serves(self) -> bool:
        """Whether it is not there for jobs."""
        return self.queues == (SERVING_QUEUE,)
