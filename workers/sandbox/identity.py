"""Who a confined process is: an ordinary user without privileges, whoever started it."""

import ctypes
import os
import struct
from dataclasses import dataclass
from typing import Final

from workers.sandbox.kernel import PR_CAPBSET_DROP, PR_SET_KEEPCAPS, prctl, status, system_call

# linux/capability.h
CAP_DAC_READ_SEARCH: Final = 2
_NEEDED_TO_DROP: Final = {5: "CAP_KILL", 6: "CAP_SETGID", 7: "CAP_SETUID"}
"""CAP_KILL lets the worker end a runner that is another user by then."""
_CAPSET_VERSION_3: Final = 0x20080522
_MOST_CAPABILITIES: Final = 64

_FIRST_UID: Final = 61184
"""Users that exist nowhere: the range that systemd gives to services for as long as they run."""
_UIDS: Final = 4336


@dataclass(frozen=True)
class Drop:
    """What a runner of a worker that is root turns into."""

    first_uid: int = _FIRST_UID
    uids: int = _UIDS
    may_search: bool = False
    """Keep CAP_DAC_READ_SEARCH: the interpreter is in a folder that only root may enter. Landlock bounds it."""

    def uid(self, pid: int) -> int:
        """Return the user (and group) of the process; two live runners rarely share one."""
        return self.first_uid + pid % self.uids


def what_root_lacks(drop: Drop) -> str | None:
    """Say what keeps a process of root from becoming somebody else; None: nothing does."""
    held = int(status()["CapEff"], 16)
    if drop.may_search and not held & 1 << CAP_DAC_READ_SEARCH:
        return "The worker is root and its Python is in a private folder, which an ordinary user cannot read: move it."
    lacking = [name for number, name in _NEEDED_TO_DROP.items() if not held & 1 << number]
    if not lacking:
        return None
    return f"The worker is root without {', '.join(lacking)}, so it cannot drop to an ordinary user: run it as one."


def give_up_privileges(drop: Drop | None) -> None:
    """Become an ordinary user for good, without any capability beyond what ``drop`` keeps.

    The kernel takes back dumpability and the parent-death signal when the user changes: set them afterwards.

    Raises:
        OSError: it is refused.
    """
    kept = 0
    if drop is not None:
        _empty_bounding_set()
        if drop.may_search:
            kept = 1 << CAP_DAC_READ_SEARCH
            prctl(PR_SET_KEEPCAPS, 1)
        user = drop.uid(os.getpid())
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _keep_only(kept)


def _empty_bounding_set() -> None:
    for number in range(_MOST_CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:  # the first number that this kernel does not know, or CAP_SETPCAP is missing:
            return  # the set only matters to programs that are started, and none can be


def _keep_only(kept: int) -> None:
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPSET_VERSION_3, 0))
    low, high = kept & 0xFFFFFFFF, kept >> 32
    sets = struct.pack("=6I", low, low, 0, high, high, 0)  # effective, permitted, inheritable
    system_call("capset", header, ctypes.create_string_buffer(sets))
