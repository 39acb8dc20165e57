"""What can be said about waiting."""

from typing import Annotated

from pydantic import Field

from dspy_service.domain.schema import Schema


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
