"""`dspy-service …`: runs a role of the platform, or talks to a running one through the SDK."""

from dspy_service.cli.program import app

__all__ = ["app"]
