"""What one attempt of a job came to, as its supervisor tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dspy_service.domain.job import Failure, JobStatus, TerminationReason
from dspy_service.domain.result import RunnerResult, Usage


@dataclass(frozen=True)
class RunReport:
    """How an attempt ended, with everything that it leaves behind."""

    status: Literal[JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED]
    termination_reason: TerminationReason
    usage: Usage = field(default_factory=Usage)
    result: RunnerResult | None = None
    """What was measured; partial unless ``status`` is success."""
    failure: Failure | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Of the artifact, by name; only what the runner made."""

    @classmethod
    def failed(
        cls,
        kind: str,
        message: str,
        *,
        reason: TerminationReason = "error",
        usage: Usage | None = None,
        partial: RunnerResult | None = None,
    ) -> "RunReport":
        """Return the report of an attempt that gave no program."""
        return cls(
            status=JobStatus.FAILED,
            termination_reason=reason,
            usage=usage or Usage(),
            result=partial,
            failure=Failure(kind=kind, message=message),
        )
