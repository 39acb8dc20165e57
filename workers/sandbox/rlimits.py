"""The resource limits of a runner, which the kernel enforces; a limit that is set here can only be lowered."""

import os
import resource
import sys
from dataclasses import dataclass
from typing import Final

DEFAULT_MEMORY_BYTES: Final = 4 << 30  # a compile peaks at 750 MB of address space (VmPeak)
DEFAULT_THREADS: Final = 512
MAX_OPEN_FILES: Final = 256
_SHARED_FACTOR: Final = 8
"""A worker's own user has other runners' threads counted too, which come and go."""


@dataclass(frozen=True)
class ProcessLimits:
    """What one runner may use."""

    memory_bytes: int = DEFAULT_MEMORY_BYTES
    """Address space of the whole process."""
    threads: int = DEFAULT_THREADS
    """Exact where a runner has a user of its own; else the user's threads now and eight times this."""
    cpu_seconds: int | None = None
    """CPU time of the whole process; None leaves it to the supervisor's wall clock."""

    def apply(self, *, own_user: bool) -> dict[str, int]:
        """Set them, and return what holds now. A file size of zero means that no file can be given contents."""
        wanted = {"core": (resource.RLIMIT_CORE, 0), "fsize": (resource.RLIMIT_FSIZE, 0)}
        wanted["nofile"] = (resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
        if sys.platform == "linux":  # macOS refuses or ignores a limit of the address space
            threads = self.threads if own_user else threads_of(os.getuid()) + _SHARED_FACTOR * self.threads
            wanted |= {
                "as": (resource.RLIMIT_AS, self.memory_bytes),
                "memlock": (resource.RLIMIT_MEMLOCK, 0),
                "msgqueue": (resource.RLIMIT_MSGQUEUE, 0),
                "nproc": (resource.RLIMIT_NPROC, threads),  # means nothing to root
            }
        if self.cpu_seconds is not None:
            wanted["cpu"] = (resource.RLIMIT_CPU, self.cpu_seconds)
        for kind, value in wanted.values():
            _, hard = resource.getrlimit(kind)
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (allowed, allowed))
        return {name: resource.getrlimit(kind)[0] for name, (kind, _) in wanted.items()}


def threads_of(user: int) -> int:
    """Return how many threads a user has on this machine, as far as ``/proc`` shows them (Linux)."""
    found = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if entry.stat().st_uid == user:
                    found += os.stat(f"/proc/{entry.name}/task").st_nlink - 2  # noqa: PTH116  # Path is no shorter
            except (FileNotFoundError, ProcessLookupError):  # it ended just now
                continue
    return found
