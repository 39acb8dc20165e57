"""What a run's program has done since somebody last looked: facts, and a wake-up for whoever hands them on."""

import asyncio
from typing import Protocol

from dspy_service.domain.serving.run_events import RunFact


class TakesFacts(Protocol):
    """Where a run's facts go; ``Progress`` is one."""

    def add(self, *facts: RunFact) -> None:
        """Take facts, in order."""
        ...


class Progress:
    """Filled by the program's task and emptied by its producer, both on one event loop."""

    def __init__(self) -> None:
        self._facts: list[RunFact] = []
        self._news = asyncio.Event()
        self._is_over = False
        self.has_text = False
        """Whether anything of an answer was written."""

    def add(self, *facts: RunFact) -> None:
        """Take facts, in order."""
        if facts:
            self._facts += facts
            self.has_text = self.has_text or any(fact.type in {"token", "reasoning"} for fact in facts)
            self._news.set()

    def end(self) -> None:
        """Say that nothing more will come."""
        self._is_over = True
        self._news.set()

    async def take(self) -> list[RunFact]:
        """Wait for facts and return all there are; an empty list after the end."""
        while not self._facts and not self._is_over:
            await self._news.wait()
            self._news.clear()
        facts, self._facts = self._facts, []
        return facts
