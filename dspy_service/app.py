"""``uvicorn dspy_service.app:create_app --factory``: the API as a process of its own."""

from fastapi import FastAPI

from dspy_service.adapters.redacted_logging import hide_secrets_in_logs, secret_values
from dspy_service.api.application import build_app
from dspy_service.bootstrap import Services, open_services
from dspy_service.config import load_settings


def create_app(services: Services | None = None) -> FastAPI:
    """Make the application.

    Args:
        services: ready-made ones, for tests and for a process that shares them; by default they are opened from the
            environment's settings. Nothing connects before the first request.

    Raises:
        ConfigurationError: a setting cannot work.
    """
    if services is None:
        settings = load_settings()
        hide_secrets_in_logs(secret_values(settings))
        services = open_services(settings)
    return build_app(services)
