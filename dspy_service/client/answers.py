"""What the service answers: the contract's own views, with what is handy on top; unknown fields are ignored."""

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dspy_service.domain.job import JobStatus
from dspy_service.domain.keys import ApiKeyView, CreatedKey
from dspy_service.domain.result import RunResponse
from dspy_service.domain.schema import Schema
from dspy_service.domain.usage_view import UsageView
from dspy_service.domain.views import ArtifactView, EventPage, JobList, JobStatusView, JobSummaryView, RunAccepted

Submitted: TypeAlias = RunAccepted
JobSummary: TypeAlias = JobSummaryView
ArtifactAnswer: TypeAlias = ArtifactView

__all__ = [
    "ApiKeyView",
    "ArtifactAnswer",
    "CreatedKey",
    "EventPage",
    "Health",
    "JobDetail",
    "JobList",
    "JobSummary",
    "KeyList",
    "RunResponse",
    "Submitted",
    "UsageView",
    "WebhookSecret",
]


class JobDetail(JobStatusView):
    """The answer of ``GET /jobs/{job_id}``: the record with everything that happened."""

    @property
    def succeeded(self) -> bool:
        """Whether the job ended with a program."""
        return self.status is JobStatus.SUCCESS


class KeyList(Schema):
    """The answer of ``GET /keys``."""

    data: list[ApiKeyView]


class WebhookSecret(Schema):
    """The answer of ``GET /webhooks/secret``."""

    secret: str = Field(repr=False)


class RegisteredAssets(Schema):
    """What can be asked for by name."""

    modules: list[str] = Field(default_factory=list)
    optimizers: list[str] = Field(default_factory=list)


class Health(BaseModel):
    """The answer of ``GET /health``; whatever else the service says about itself is kept as it came."""

    model_config = ConfigDict(frozen=True, extra="allow")

    status: str
    registered_assets: RegisteredAssets = Field(default_factory=RegisteredAssets)
    """Empty for those without a key, where the service has keys."""

    @property
    def is_ok(self) -> bool:
        """Whether jobs submitted now will be taken."""
        return self.status == "ok"
