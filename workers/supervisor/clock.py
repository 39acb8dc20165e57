"""Counts the seconds for which an attempt moves."""

import asyncio


class RunningClock:
    """Stands still until it is let go, while the attempt is held, and once it ends. Belongs to one event loop."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._before = 0.0
        self._since: float | None = None
        self._is_over = False

    @property
    def seconds(self) -> float:
        """For which it has gone."""
        return self._before + (0.0 if self._since is None else self._time() - self._since)

    def stop(self) -> None:
        """Stand still; harmless when it does."""
        self._before, self._since = self.seconds, None

    def go_on(self) -> None:
        """Count; harmless when it does, and without effect once it is over."""
        if self._since is None and not self._is_over:
            self._since = self._time()

    def end(self) -> None:
        """Stand still for good."""
        self.stop()
        self._is_over = True
