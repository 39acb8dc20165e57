"""Looks again and again whether a host's loop answers, and at what the process uses."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Final

from dspy_service.domain.errors import ProtocolError
from workers.serving.hosting.rules import HostRules
from workers.supervisor.watchdog import Sample, sample

_MOST_LOOKS: Final = 2  # of silence per look: a worker that stood still has heard nothing meanwhile
_IDLE_CPU_SECONDS: Final = 5.0
_MIB: Final = 1 << 20


class HostWatch:
    """Of one host.

    Args:
        pid: Of its process.
        rules: What it may use.
        is_busy: Whether it has runs.
        is_read: Whether its socket is being read; its answers wait otherwise.
        said_bytes: How much was read from it so far.
        look: Says what a process uses.
    """

    def __init__(
        self,
        pid: int,
        rules: HostRules,
        *,
        is_busy: Callable[[], bool],
        is_read: Callable[[], bool],
        said_bytes: Callable[[], int] = lambda: 0,
        look: Callable[[int], Sample | None] = sample,
    ) -> None:
        self._pid = pid
        self._rules = rules
        self._is_busy = is_busy
        self._is_read = is_read
        self._sample = look
        self._silent_seconds = 0.0
        self._asked = self._heard = 0
        self._idle_cpu_seconds = 0.0
        self._said_bytes = said_bytes
        self._counted_bytes = self._burst_bytes = 0

    def hear(self, number: object) -> None:
        """Note an answer.

        Raises:
            ProtocolError: nobody asked.
        """
        if type(number) is not int or not self._heard < number <= self._asked:
            raise ProtocolError("A pong answers no ping.")
        self._heard = number
        self._silent_seconds = 0.0

    async def run(self, ping: Callable[[int], None]) -> str:
        """Return why the host must be ended, once it must."""
        loop, rules = asyncio.get_running_loop(), self._rules
        looked_at, before = loop.time(), self._sample(self._pid)
        for number in count(1):
            self._asked = number
            ping(number)
            await asyncio.sleep(rules.look_seconds)
            now, seen = loop.time(), self._sample(self._pid)
            self._silent_seconds += min(now - looked_at, _MOST_LOOKS * rules.look_seconds)
            looked_at = now
            if not self._is_read():
                self._silent_seconds = 0.0
            if (reason := self._passed(seen) or self._idles(before, seen) or self._floods()) is not None:
                return reason
            before = seen
        raise AssertionError("Counting has no end.")

    def _passed(self, seen: Sample | None) -> str | None:
        rules = self._rules
        if self._silent_seconds > rules.silent_seconds:
            return f"was ended, because the program's code held it for {rules.silent_seconds:g} s"
        if seen is not None and seen.memory_bytes > rules.memory_bytes:
            return f"was ended, because it took more than {rules.memory_bytes / _MIB:g} MiB of memory"
        if seen is not None and seen.threads > rules.threads:
            return f"was ended, because it had more than {rules.threads} threads"
        return None

    def _idles(self, before: Sample | None, seen: Sample | None) -> str | None:
        """Say that a host computes although it has no run."""
        if self._is_busy() or before is None or seen is None:
            self._idle_cpu_seconds = 0.0
            return None
        used = seen.cpu_seconds - before.cpu_seconds
        self._idle_cpu_seconds = self._idle_cpu_seconds + used if used > self._rules.look_seconds / 2 else 0.0
        if self._idle_cpu_seconds > _IDLE_CPU_SECONDS:
            return "was ended, because it computed without a run"
        return None

    def _floods(self) -> str | None:
        """Say that it talks so much that the runs of others suffer: reading it takes our one event loop."""
        said, rules = self._said_bytes(), self._rules
        fresh, self._counted_bytes = said - self._counted_bytes, said
        self._burst_bytes = max(0, self._burst_bytes + fresh - rules.steady_bytes)
        if self._burst_bytes > rules.burst_bytes:
            return f"was ended, because it said more than {rules.steady_bytes / _MIB:g} MiB at each look for too long"
        return None
