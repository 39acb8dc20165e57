"""What the routes work with, as arguments."""

from typing import Annotated

from fastapi import Depends, Request

from dspy_service.api.callers import JobsWriter
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.models_policy import ModelPolicy
from dspy_service.domain.queue import QueueRules
from dspy_service.domain.webhook_policy import WebhookPolicy
from dspy_service.usecases.check_request import Rules


def rules_of(settings: Settings, registry: Registry, *, is_open: bool) -> Rules:
    """Return the operator's rules. In open mode, the models of this machine may be called."""
    policy = ModelPolicy(
        allowed_origins=frozenset(settings.allowed_base_urls),
        allow_loopback=is_open,
        allowed_models=frozenset(settings.allowed_models),
    )
    return Rules(
        registry=registry,
        policy=policy,
        max_rows=settings.max_rows,
        max_row_keys=settings.max_row_keys,
        max_field_bytes=settings.max_field_bytes,
        limits=settings.job_limits,
        min_level=settings.sandbox_min_level,
        webhooks=WebhookPolicy(allowed_origins=frozenset(settings.webhook_origins), allow_loopback=is_open),
    )


# Plain functions would each take a detour through a thread pool.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _rules(request: Request, caller: JobsWriter) -> Rules:
    rules: Rules = request.app.state.open_rules if caller.is_open else request.app.state.rules
    return rules


async def _queue_rules(services: Annotated[Services, Depends(_services)]) -> QueueRules:
    settings = services.settings
    return QueueRules(min_level=settings.sandbox_min_level, tenant_running_jobs=settings.tenant_running_jobs)


TheServices = Annotated[Services, Depends(_services)]
"""The opened ports; one set for the life of the process."""

TheRules = Annotated[Rules, Depends(_rules)]
"""What the operator offers this caller, and allows."""

TheQueueRules = Annotated[QueueRules, Depends(_queue_rules)]
"""What decides about waiting."""
