"""Which jobs a list shows."""

from typing import Annotated

from pydantic import Field

from dspy_service.domain.job import Job, JobStatus
from dspy_service.domain.schema import Schema


class JobFilter(Schema):
    """All conditions must hold; None and empty hold always."""

    status: JobStatus | None = None
    optimizer: str | None = None
    """Its name in the catalogue, however it was spelt when the job was submitted."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Pairs that the job's metadata must hold."""

    def passes(self, job: Job) -> bool:
        """Whether a job is shown."""
        return (
            (self.status is None or job.status is self.status)
            and (self.optimizer is None or job.optimizer == self.optimizer)
            and self.metadata.items() <= job.metadata.items()
        )


class JobPage(Schema):
    """Some jobs, newest first."""

    jobs: tuple[Job, ...]
    has_more: bool
    last_id: Annotated[str | None, Field(description="Where the next page goes on; None for an empty tenant.")]
    """The last job that was looked at, which may be one that the filter left out."""
