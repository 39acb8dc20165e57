"""What a runner does to itself before it sees any submitted code; level L1 today.

The runner's ``__main__`` calls :func:`confine` as its first statement, before it imports DSPy: the argument vector that
:mod:`workers.sandbox.launch` builds is ``fd level parent_pid``.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Final

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.workers import SandboxLevel

MAX_MEMORY_BYTES: Final = 4 << 30  # a compile peaks at 750 MB of address space (VmPeak)
MAX_OPEN_FILES: Final = 256

# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_GET_NO_NEW_PRIVS: Final = 39

Applied = dict[str, int | bool | str]
"""What really holds afterwards, read back from the kernel; goes into the ``ready`` frame."""


def confine(level: SandboxLevel, *, parent_pid: int | None = None, cpu_seconds: int | None = None) -> Applied:
    """Confine this process for good, and return what holds.

    Args:
        level: What the supervisor's plan asks for; a level that cannot be reached is an error, never a lower one.
        parent_pid: Our supervisor. If it died before the death signal was armed, this process ends at once.
        cpu_seconds: CPU time of the whole process; None leaves it to the supervisor's wall clock.

    Raises:
        ConfigurationError: ``level`` cannot be applied here.
    """
    if level != "L1":
        message = f"Sandbox level {level} is not available in this version; set SANDBOX_MIN_LEVEL to L1."
        raise ConfigurationError(message)
    applied: Applied = {"level": level}
    if sys.platform == "linux":
        applied |= _kernel_flags()
    if parent_pid is not None and os.getppid() != parent_pid:
        os._exit(signal.SIGKILL)  # the supervisor is gone: nobody would hear an exception
    return applied | _limits(cpu_seconds)


def _kernel_flags() -> Applied:
    """Die with the parent, gain no privileges, and hide memory and environment from processes of the same user."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0)):
        if libc.prctl(option, int(value), 0, 0, 0) != 0:
            message = f"prctl({option}) was refused: {os.strerror(ctypes.get_errno())}."
            raise ConfigurationError(message)
    return {
        "no_new_privs": libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
        "dumpable": libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0),
    }


def _limits(cpu_seconds: int | None) -> Applied:
    """Set the resource limits; a file size of zero means that no file can be given contents."""
    wanted = {"core": (resource.RLIMIT_CORE, 0), "fsize": (resource.RLIMIT_FSIZE, 0)}
    wanted["nofile"] = (resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    if sys.platform == "linux":  # macOS refuses or ignores a limit of the address space
        wanted["as"] = (resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    if cpu_seconds is not None:
        wanted["cpu"] = (resource.RLIMIT_CPU, cpu_seconds)
    for kind, value in wanted.values():
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
    return {name: resource.getrlimit(kind)[0] for name, (kind, _) in wanted.items()}
