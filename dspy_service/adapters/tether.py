"""Run a command that dies with its parent: ``python -I -S tether.py PARENT_PID COMMAND…`` (standard library only).

A program on its own rather than a ``preexec_fn``: code between fork and exec of a process with threads can deadlock.
The kernel ties the signal to the *thread* that forked, so start tethered commands from a thread that lives on.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tethered(command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` tied to this process (on Linux; elsewhere it runs untied)."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _exec_tethered(parent_pid: int, command: Sequence[str]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before the tie was made
        sys.exit(1)
    os.execvp(command[0], list(command))  # noqa: S606 - the command is our own, never a client's


if __name__ == "__main__":
    _exec_tethered(int(sys.argv[1]), sys.argv[2:])
