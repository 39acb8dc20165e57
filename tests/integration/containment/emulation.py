"""Starts a command under what a container runtime puts on a process: fewer capabilities, a seccomp filter, a user.

``python -m tests.integration.containment.emulation {default|hardened} UID COMMAND…``. The filter refuses what the
default profile of the common container engine refuses to a process without extra capabilities; it is written from that
profile's documented contents, and is an emulation.
"""

import errno
import os
import platform
import sys

from workers.sandbox.kernel import PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, prctl
from workers.sandbox.seccomp import CLONE_NEW_NAMESPACE, Instruction, deny_list, install

DEFAULT_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31})
"""CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD,
AUDIT_WRITE, SETFCAP."""

_REFUSED = {  # x86_64, aarch64
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "clock_settime": (227, 112),
    "delete_module": (176, 106), "fanotify_init": (300, 262), "finit_module": (313, 273), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fsopen": (430, 430), "get_mempolicy": (239, 236), "init_module": (175, 105),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "kcmp": (312, 272),
    "kexec_load": (246, 104), "keyctl": (250, 219), "lookup_dcookie": (212, 18), "mbind": (237, 235),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "perf_event_open": (298, 241), "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41), "process_madvise": (440, 440), "quotactl": (179, 60), "reboot": (169, 142),
    "request_key": (249, 218),
    "set_mempolicy": (238, 237), "setns": (308, 268), "sethostname": (170, 161), "settimeofday": (164, 170),
    "swapoff": (168, 225), "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97),
    "userfaultfd": (323, 282), "vhangup": (153, 58),
}  # fmt: skip
_CLONE, _CLONE3 = {"x86_64": 56, "aarch64": 220}, 435


def container_filter() -> list[Instruction]:
    """Return the filter: namespaces only with CAP_SYS_ADMIN, ``clone3`` absent, the rest refused."""
    column = ("x86_64", "aarch64").index(platform.machine())
    program = deny_list((numbers[column] for numbers in _REFUSED.values()), error=errno.EPERM)
    no_clone3 = [Instruction(0x15, 0, 1, _CLONE3), Instruction(0x06, 0, 0, 0x00050000 | errno.ENOSYS)]
    no_namespaces = [
        Instruction(0x15, 0, 4, _CLONE[platform.machine()]),
        Instruction(0x20, 0, 0, 16),
        Instruction(0x45, 0, 1, CLONE_NEW_NAMESPACE),
        Instruction(0x06, 0, 0, 0x00050000 | errno.EPERM),
        Instruction(0x06, 0, 0, 0x7FFF0000),
    ]
    return [*program[:-1], *no_clone3, *no_namespaces, program[-1]]


def main() -> None:
    style, user, *command = sys.argv[1:]
    install(container_filter())
    for number in range(41):
        if style == "hardened" or number not in DEFAULT_CAPABILITIES:
            prctl(PR_CAPBSET_DROP, number)
    if style == "hardened":
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    os.setgroups([])
    os.setresgid(int(user), int(user), int(user))
    os.setresuid(int(user), int(user), int(user))
    os.execv(command[0], command)  # noqa: S606 - the test's own command


if __name__ == "__main__":
    main()
