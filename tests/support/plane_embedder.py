"""An embedder for tests: a text points to where its words say."""

from collections.abc import Sequence

from dspy_service.domain.search.vectors import Vector
from tests.support.searched import PLANE, vector


class PlaneEmbedder:
    """Texts with ``north`` point up, all others to the right; remembers what it was asked."""

    def __init__(self) -> None:
        self.identity = PLANE
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        self.asked += texts
        return [vector(0, 1) if "north" in text else vector(1, 0) for text in texts]
