"""Self-contained source of a signature or a metric, with everything of the user's own that it needs."""

from dspy_service.client.source.collecting import serialize_source

__all__ = ["serialize_source"]
