"""What a run has produced and its log does not have yet: the first tokens at once, later ones in small batches."""

import asyncio
from collections.abc import Iterable
from typing import Final

from dspy_service.domain.serving.coalescing import continues
from dspy_service.domain.serving.run_events import RunFact, TokenWritten

FIRST_TOKENS: Final = 5
"""Tokens of a run that wait for nothing: somebody looks at an empty page."""
BATCH_TOKENS: Final = 8
BATCH_SECONDS: Final = 0.015
"""Nobody reads faster; and 50 runs at 50 tokens a second would else be 2 500 calls of the store a second."""


class FactBuffer:
    """Between one producer, which never waits for a store, and one writer. Belongs to one event loop.

    Args:
        batch_seconds: The longest that a fact waits for others.
    """

    def __init__(self, *, batch_seconds: float = BATCH_SECONDS) -> None:
        self._clock = asyncio.get_running_loop().time
        self._batch_seconds = batch_seconds
        self._facts: list[RunFact] = []
        self._waiting_tokens = 0
        self._tokens = 0
        self._is_hurried = False
        self.is_closed = False
        """Whether ``close`` was called."""
        self._due_at = 0.0
        self._changed = asyncio.Event()

    def put(self, facts: Iterable[RunFact]) -> None:
        """Add what was produced, in order."""
        was_empty = not self._facts
        for fact in facts:
            if isinstance(fact, TokenWritten):
                self._tokens += 1
                self._waiting_tokens += 1
                self._is_hurried |= self._tokens <= FIRST_TOKENS or self._waiting_tokens >= BATCH_TOKENS
            self._add(fact)
        if was_empty:
            self._due_at = self._clock() + self._batch_seconds
        if was_empty or self._is_hurried:
            self._changed.set()

    def close(self) -> None:
        """Let ``take`` end; what it has not taken is for ``rest``."""
        self.is_closed = True
        self._changed.set()

    async def take(self) -> list[RunFact]:
        """Return the next batch as soon as it is due; an empty one once the buffer is closed."""
        while not self.is_closed:
            left_seconds = self._due_at - self._clock() if self._facts else None
            if self._is_hurried or (left_seconds is not None and left_seconds <= 0):
                return self.rest()
            self._changed.clear()
            try:
                async with asyncio.timeout(left_seconds):
                    await self._changed.wait()
            except TimeoutError:
                return self.rest()
        return []

    def rest(self) -> list[RunFact]:
        """Return what nobody has taken, without waiting."""
        facts, self._facts = self._facts, []
        self._waiting_tokens, self._is_hurried = 0, False
        return facts

    def _add(self, fact: RunFact) -> None:
        """Append a fact; text that goes on where the last one ended becomes one event with it."""
        last = self._facts[-1] if self._facts else None
        if isinstance(fact, TokenWritten) and isinstance(last, TokenWritten) and continues(fact, last):
            self._facts[-1] = last.model_copy(update={"text": last.text + fact.text})
        else:
            self._facts.append(fact)
