"""What the routes work with, as arguments."""

from typing import Annotated

from fastapi import Depends, Request

from dspy_service.api.open_mode import is_loopback
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.models_policy import ModelPolicy
from dspy_service.usecases.check_request import Rules


def rules_of(settings: Settings, registry: Registry) -> Rules:
    """Return the operator's rules. A service that only this machine reaches may call this machine's endpoints."""
    policy = ModelPolicy(
        allowed_origins=frozenset(settings.allowed_base_urls),
        allow_loopback=is_loopback(settings.host),
        allowed_models=frozenset(settings.allowed_models),
    )
    return Rules(registry=registry, policy=policy, max_rows=settings.max_rows)


# Plain functions would each take a detour through a thread pool.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _rules(request: Request) -> Rules:
    rules: Rules = request.app.state.rules
    return rules


TheServices = Annotated[Services, Depends(_services)]
"""The opened ports; one set for the life of the process."""

TheRules = Annotated[Rules, Depends(_rules)]
"""What the operator offers and allows."""
