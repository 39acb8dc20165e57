"""Holds back what the parts print while they start: a start that fails is one sentence, not the noise around it."""

import threading
from collections.abc import Callable


class HeldOutput:
    """A place to write lines to, from any thread; they come out in order once :meth:`release` was called."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._held: list[str] | None = []
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        """Write a line, or keep it for later."""
        with self._lock:
            if self._held is None:
                self._write(line)
            else:
                self._held.append(line)

    def release(self) -> None:
        """Write what was held back, and from now on everything at once."""
        with self._lock:
            for line in self._held or ():
                self._write(line)
            self._held = None
