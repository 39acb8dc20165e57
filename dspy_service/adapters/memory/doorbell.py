"""A doorbell that remembers who was rung for."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dspy_service.ports import Doorbell


class MemoryDoorbell:
    """Keeps every ring in ``rung``; ``answer``, when given, is awaited for each, as a worker would run."""

    def __init__(self, answer: Callable[[str], Awaitable[None]] | None = None) -> None:
        self.rung: list[str] = []
        self.untaken = 0
        self._answer = answer

    async def ring(self, job_id: str) -> None:
        """Remember the ring and let somebody answer it."""
        self.rung.append(job_id)
        if self._answer is not None:
            await self._answer(job_id)

    async def waiting(self) -> int:
        """Return ``untaken``, which a test may set."""
        return self.untaken

    async def aclose(self) -> None:
        """Nothing to release."""


if TYPE_CHECKING:
    _proof: Doorbell = MemoryDoorbell()
