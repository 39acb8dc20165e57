"""Sends the best program so far to the supervisor, from a thread of its own: packing must not slow the compile.

At most one checkpoint a second: of several bests within it the newest goes.
"""

import threading
import time
from collections.abc import Callable

from workers.runner.contest import BestProgram

GAP_SECONDS = 1.0

Send = Callable[[BestProgram], None]


class CheckpointSender:
    """Hands each new best to ``send``, one at a time; ``send`` must not raise."""

    def __init__(
        self, send: Send, *, gap_seconds: float = GAP_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._gap_seconds = gap_seconds
        self._clock = clock
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: BestProgram | None = None
        self._next_at = 0.0
        self._closed = False

    def start(self) -> None:
        """Start the thread. Raises RuntimeError where no thread can be had."""
        threading.Thread(target=self._run, name="checkpoints", daemon=True).start()

    def offer(self, best: BestProgram) -> None:
        """Send ``best`` soon, unless a newer one comes first; returns at once."""
        with self._changed:
            self._waiting = best
            self._changed.notify()

    def flush(self) -> None:
        """Send what waits, now; returns when it is out."""
        with self._sending:
            with self._changed:
                best, self._waiting = self._waiting, None
                self._next_at = self._clock() + self._gap_seconds
            if best is not None:
                self._send(best)

    def close(self) -> None:
        """Send nothing more; returns when nothing is on its way."""
        with self._changed:
            self._closed, self._waiting = True, None
            self._changed.notify()
        with self._sending:
            pass

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (self._waiting is None or self._clock() < self._next_at):
                    self._changed.wait(None if self._waiting is None else self._next_at - self._clock())
                if self._closed:
                    return
            self.flush()
