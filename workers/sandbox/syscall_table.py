"""The system calls that a confined runner may make, with their numbers on both machines that we know.

The numbers are those of the kernel's own headers: ``asm/unistd_64.h`` for x86_64, ``asm-generic/unistd.h`` for aarch64,
which never had the older calls (None). Every optimizer compiles with this list, and a call that is not in it fails with
EPERM. To allow another one is to enlarge the kernel's surface that submitted code can reach.
"""

import platform
from typing import Final, NamedTuple

from dspy_service.domain.errors import ConfigurationError


class Numbers(NamedTuple):
    """The numbers of one system call."""

    x86_64: int
    aarch64: int | None


ALLOWED: Final[dict[str, Numbers]] = {
    # Reading and writing what is open, and opening what Landlock lets through.
    "read": Numbers(0, 63),
    "write": Numbers(1, 64),
    "readv": Numbers(19, 65),
    "writev": Numbers(20, 66),
    "pread64": Numbers(17, 67),
    "pwrite64": Numbers(18, 68),
    "lseek": Numbers(8, 62),
    "close": Numbers(3, 57),
    "close_range": Numbers(436, 436),
    "dup": Numbers(32, 23),
    "dup3": Numbers(292, 24),
    "pipe": Numbers(22, None),
    "pipe2": Numbers(293, 59),
    "openat": Numbers(257, 56),
    "openat2": Numbers(437, 437),
    "getdents64": Numbers(217, 61),
    # Looking at files.
    "fstat": Numbers(5, 80),
    "newfstatat": Numbers(262, 79),
    "stat": Numbers(4, None),
    "lstat": Numbers(6, None),
    "statx": Numbers(332, 291),
    "statfs": Numbers(137, 43),
    "fstatfs": Numbers(138, 44),
    "access": Numbers(21, None),
    "faccessat": Numbers(269, 48),
    "faccessat2": Numbers(439, 439),
    "readlink": Numbers(89, None),
    "readlinkat": Numbers(267, 78),
    "getcwd": Numbers(79, 17),
    # Memory.
    "brk": Numbers(12, 214),
    "mmap": Numbers(9, 222),
    "munmap": Numbers(11, 215),
    "mremap": Numbers(25, 216),
    "mprotect": Numbers(10, 226),
    "madvise": Numbers(28, 233),
    "mbind": Numbers(237, 235),
    "get_mempolicy": Numbers(239, 236),
    "membarrier": Numbers(324, 283),
    # Threads, and waiting.
    "futex": Numbers(202, 98),
    "set_robust_list": Numbers(273, 99),
    "set_tid_address": Numbers(218, 96),
    "rseq": Numbers(334, 293),
    "gettid": Numbers(186, 178),
    "getpid": Numbers(39, 172),
    "getppid": Numbers(110, 173),
    "sched_yield": Numbers(24, 124),
    "sched_getaffinity": Numbers(204, 123),
    "exit": Numbers(60, 93),
    "exit_group": Numbers(231, 94),
    "poll": Numbers(7, None),
    "ppoll": Numbers(271, 73),
    "select": Numbers(23, None),
    "pselect6": Numbers(270, 72),
    "epoll_create1": Numbers(291, 20),
    "epoll_ctl": Numbers(233, 21),
    "epoll_wait": Numbers(232, None),
    "epoll_pwait": Numbers(281, 22),
    "eventfd2": Numbers(290, 19),
    "restart_syscall": Numbers(219, 128),  # the kernel makes it for a wait that SIGSTOP and SIGCONT interrupted
    # Signals to oneself.
    "rt_sigaction": Numbers(13, 134),
    "rt_sigprocmask": Numbers(14, 135),
    "rt_sigreturn": Numbers(15, 139),
    "sigaltstack": Numbers(131, 132),
    # The one socket that was inherited.
    "sendto": Numbers(44, 206),
    "recvfrom": Numbers(45, 207),
    "sendmsg": Numbers(46, 211),
    "recvmsg": Numbers(47, 212),
    "shutdown": Numbers(48, 210),
    "getsockname": Numbers(51, 204),
    "getpeername": Numbers(52, 205),
    "getsockopt": Numbers(55, 209),
    # Time.
    "nanosleep": Numbers(35, 101),
    "clock_nanosleep": Numbers(230, 115),
    "clock_gettime": Numbers(228, 113),
    "clock_getres": Numbers(229, 114),
    "gettimeofday": Numbers(96, 169),
    "time": Numbers(201, None),
    "times": Numbers(100, 153),
    # Facts about the process and the machine.
    "uname": Numbers(63, 160),
    "sysinfo": Numbers(99, 179),
    "getrusage": Numbers(98, 165),
    "getrlimit": Numbers(97, 163),
    "getuid": Numbers(102, 174),
    "geteuid": Numbers(107, 175),
    "getgid": Numbers(104, 176),
    "getegid": Numbers(108, 177),
    "getrandom": Numbers(318, 278),
}
"""Allowed whatever their arguments."""

FILTERED: Final[dict[str, Numbers]] = {
    "clone": Numbers(56, 220),  # only a thread, in no new namespace
    "clone3": Numbers(435, 435),  # answers ENOSYS, since its flags are in memory: glibc then uses clone
    "tgkill": Numbers(234, 131),  # only the own process
    "prlimit64": Numbers(302, 261),  # only the own process
    "socketpair": Numbers(53, 199),  # only AF_UNIX streams: a datagram socket could be sent to any address
    "ioctl": Numbers(16, 29),  # only the questions that files, pipes and sockets are asked
    "fcntl": Numbers(72, 25),  # only copies and flags: a file's owner is sent signals
}
"""Allowed depending on their arguments; ``seccomp.py`` says how."""

OURS: Final[dict[str, Numbers]] = {
    "capset": Numbers(126, 91),
    "seccomp": Numbers(317, 277),
    "landlock_create_ruleset": Numbers(444, 444),
    "landlock_add_rule": Numbers(445, 445),
    "landlock_restrict_self": Numbers(446, 446),
}
"""What confining itself takes; none of them is allowed afterwards."""

MACHINES: Final = ("x86_64", "aarch64")


def machine() -> str:
    """Return which column is ours.

    Raises:
        ConfigurationError: neither; numbers of another machine would allow something else.
    """
    found = platform.machine()
    if found not in MACHINES:
        message = f"System call numbers are known for {' and '.join(MACHINES)}, not for {found or 'this machine'}."
        raise ConfigurationError(message)
    return found


def number(name: str, on: str) -> int | None:
    """Return the number of a call of any of the tables on a machine; None where there is no such call."""
    numbers = (ALLOWED.get(name) or FILTERED.get(name) or OURS[name])._asdict()
    found: int | None = numbers[on]
    return found
