"""Flushes files to the disk right after they were written, many at a time, without letting their writers wait."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

_log: Final = logging.getLogger(__name__)

MOST_WAITING: Final = 2_000
"""With more than that the disk cannot keep up; then writers wait after all."""

PAUSE_SECONDS: Final = 0.5
"""Between two batches: many files cost little more than one."""


class LateFlush:
    """Hands the paths that came in to ``flush``, in batches, on a thread that lives while there are any.

    The interpreter waits for that thread before it ends.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[str]], None],
        *,
        most_waiting: int = MOST_WAITING,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._flush = flush
        self._pause_seconds = pause_seconds
        self._most_waiting = most_waiting
        self._waiting: list[str] = []
        self._is_running = False
        self._changed = threading.Condition()

    def add(self, path: str) -> None:
        """Have a file flushed soon; returns at once, unless too many wait already."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._most_waiting)
            self._waiting.append(path)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._work, name="late-flush").start()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                self._flush(batch)
            except Exception:  # noqa: BLE001 - outermost frame of a thread; the next files may fare better
                _log.exception("%d files could not be flushed to the disk; a power cut may cost them.", len(batch))
            time.sleep(self._pause_seconds)

    def _next_batch(self) -> list[str]:
        with self._changed:
            batch, self._waiting = self._waiting, []
            self._is_running = bool(batch)
            self._changed.notify_all()
            return batch
