"""What can be said about waiting."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from dspy_service.domain.schema import Schema
from dspy_service.domain.workers import SandboxLevel


class Place(Schema):
    """Where a waiting job stands."""

    position: Annotated[int, Field(ge=1)]
    """Among the tenant's own waiting jobs; 1 is next."""
    tenant_running: Annotated[int, Field(ge=0)]
    """Jobs of the tenant that run now."""


class QueueFigures(Schema):
    """The queue at a glance, all tenants together."""

    waiting: Annotated[int, Field(ge=0)]
    running: Annotated[int, Field(ge=0)]
    """Jobs that a worker holds."""
    oldest_waiting_seconds: Annotated[float, Field(ge=0)]
    """0 when none waits."""


@dataclass(frozen=True)
class QueueRules:
    """What decides about waiting."""

    min_level: SandboxLevel
    """Weakest confinement in which submitted code may run."""
    tenant_running_jobs: int = 0
    """The most that one tenant may run at the same time; 0: any number."""
