"""Keeps one warm, confined runner ahead, so that a job starts in milliseconds instead of a second."""

import logging
from collections.abc import Callable
from typing import Final

from workers.sandbox.launch import Child

_log: Final = logging.getLogger(__name__)


class Standby:
    """At most one runner that waits for a job.

    Every method starts processes on the calling thread, which must outlive them: the main thread of a Celery child.

    Args:
        launch: Starts a runner, which warms up by itself.
        keep: Whether one waits at all; without, each job starts its own.
    """

    def __init__(self, launch: Callable[[], Child], *, keep: bool = True) -> None:
        self._launch = launch
        self._keep = keep
        self._waiting: Child | None = None

    def take(self) -> Child:
        """Return the waiting runner, or a new one if there is none or it has died. The caller must kill it."""
        child, self._waiting = self._waiting, None
        if child is not None and child.is_alive():
            return child
        if child is not None:
            _log.warning("The standby runner (pid %d) had died with exit code %d.", child.pid, child.kill())
        return self._launch()

    def refill(self) -> None:
        """Start the next runner, unless a live one waits."""
        if not self._keep or (self._waiting is not None and self._waiting.is_alive()):
            return
        self.close()
        self._waiting = self._launch()

    def close(self) -> None:
        """End the waiting runner."""
        child, self._waiting = self._waiting, None
        if child is not None:
            child.kill()
