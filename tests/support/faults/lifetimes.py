"""Processes, each told apart from a later one that got the same number (Linux: reads ``/proc``)."""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.processes import descendants

_FIELDS_BEFORE_START = 19  # of /proc/<pid>/stat, behind the name: proc(5)


@dataclass(frozen=True)
class Lifetime:
    """One process, from its start to its end."""

    pid: int
    born: int
    """In the kernel's ticks since the machine started."""
    command: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the process that has this number now; None when there is none, or a zombie."""
        try:
            folder = Path(f"/proc/{pid}")
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[_FIELDS_BEFORE_START]), command)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        now = Lifetime.of(self.pid)
        return now is None or now.born != self.born

    @property
    def is_runner(self) -> bool:
        """Whether it runs, or waits for, submitted code."""
        return "workers.runner" in self.command

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it is over."""
        if not self.is_over:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def family_of(pid: int) -> set[Lifetime]:
    """Return a process and all below it."""
    return living({pid, *descendants(pid)})


def children_of(pid: int) -> set[Lifetime]:
    """Return the processes that it has started itself."""
    pids: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids |= set(map(int, task.read_text(encoding="ascii").split()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return living(pids)


def living(pids: Iterable[int]) -> set[Lifetime]:
    """Return those that have not ended."""
    return {lifetime for pid in pids if (lifetime := Lifetime.of(pid)) is not None}


def survivors(lifetimes: Iterable[Lifetime]) -> list[Lifetime]:
    """Return those that are not over."""
    return [lifetime for lifetime in lifetimes if not lifetime.is_over]
