"""Which slots a worker has had, and which of them have died: nobody need wait for the leases of such a slot."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final

RUNNER_SECONDS: Final = 0.2
"""From a slot's death until its job may be taken: its runner, which the kernel kills with it, is gone by then."""
_READ_BYTES: Final = 1 << 16


class Roster:
    """Each slot signs in when it starts, and the worker's parent looks whether it lives.

    The parent makes it before it forks; each slot inherits the pipe behind it.

    Args:
        remembered_seconds: How long a death is told; after one lease the store knows by itself.
        clock: Seconds that only rise.
    """

    def __init__(self, *, remembered_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._remembered_seconds = remembered_seconds
        self._clock = clock
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._unread = b""
        self._pids: dict[str, int] = {}
        self._died_at: dict[str, float] = {}

    def sign_in(self, owner: str, *, pid: int | None = None) -> None:
        """In a slot, before its first claim.

        Args:
            owner: Its name in the records of jobs or runs, which no other slot ever has; one name for each roster.
            pid: Of its process; None: this one.
        """
        line = f"{pid or os.getpid()} {owner}\n".encode()
        with contextlib.suppress(BlockingIOError):  # nobody reads; then its death costs a lease
            os.write(self._writing, line)  # short enough to stay in one piece: pipe(7)

    def dead(self) -> list[str]:
        """In the parent, now and then: return the owners that died a moment ago."""
        now = self._clock()
        self._read()
        for owner in [owner for owner, pid in self._pids.items() if not _is_living_child(pid)]:
            del self._pids[owner]
            self._died_at[owner] = now
        self._died_at = {
            owner: died_at for owner, died_at in self._died_at.items() if now - died_at <= self._remembered_seconds
        }
        return [owner for owner, died_at in self._died_at.items() if now - died_at >= RUNNER_SECONDS]

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reading, _READ_BYTES):
                self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            pid, _, owner = line.decode().partition(" ")
            for other in [other for other, its in self._pids.items() if its == int(pid)]:
                del self._pids[other]  # its number was given to a new one
                self._died_at[other] = self._clock()
            self._pids[owner] = int(pid)


def _is_living_child(pid: int) -> bool:
    """Tell without collecting it: that is for the pool. A number that is somebody else's by now is no child."""
    if not hasattr(os, "waitid"):  # macOS has none before Python 3.13
        return True
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
