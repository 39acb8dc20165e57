"""The response cache in memory."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dspy_service.ports import ResponseCache

_SHARE = 16
_BESIDE_BYTES = 200
"""About what an answer takes beside itself; counted as in Redis."""


class MemoryResponseCache:
    """Answers of one process.

    Args:
        max_bytes: Of all answers of one tenant; one that takes more than a sixteenth of it is not kept.
        unused_seconds: How long an answer that nobody asks for is kept.
        clock: Seconds; tests move time with it.
    """

    def __init__(self, *, max_bytes: int, unused_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._unused_seconds = unused_seconds
        self._clock = clock
        self._answers: defaultdict[str, dict[str, tuple[float, str]]] = defaultdict(dict)

    async def find(self, tenant: str, key: str) -> str | None:
        """Return an answer, and note that it was used."""
        self._drop_unused(tenant)
        answers = self._answers[tenant]
        if key not in answers:
            return None
        _, answer = answers.pop(key)
        answers[key] = (self._clock(), answer)  # at the end again: the order is that of the last use
        return answer

    async def keep(self, tenant: str, key: str, answer: str, *, replace: bool = False) -> None:
        """Keep an answer for a while."""
        if replace:
            self._answers[tenant].pop(key, None)
        if await self.find(tenant, key) is not None or _size(answer) * _SHARE > self._max_bytes:
            return
        answers = self._answers[tenant]
        answers[key] = (self._clock(), answer)
        while sum(_size(kept) for _, kept in answers.values()) > self._max_bytes:
            del answers[next(iter(answers))]

    async def aclose(self) -> None:
        """Nothing to release."""

    def _drop_unused(self, tenant: str) -> None:
        since = self._clock() - self._unused_seconds
        self._answers[tenant] = {key: kept for key, kept in self._answers[tenant].items() if kept[0] >= since}


def _size(answer: str) -> int:
    return len(answer.encode()) + _BESIDE_BYTES


if TYPE_CHECKING:
    _proof: ResponseCache = MemoryResponseCache(max_bytes=1, unused_seconds=1)
