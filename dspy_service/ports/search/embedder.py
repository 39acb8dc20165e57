"""Turning texts into vectors."""

from collections.abc import Sequence
from typing import Protocol

from dspy_service.domain.search.vectors import EmbedderIdentity, Vector


class Embedder(Protocol):
    """One model; the same text gets the same vector, about, in whatever batch."""

    @property
    def identity(self) -> EmbedderIdentity:
        """Model and dimension, as collections keep them."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, in order; the event loop goes on meanwhile."""
        ...
