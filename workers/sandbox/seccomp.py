"""Seccomp: after :func:`install`, this process can make only the system calls of ``syscall_table``.

The filter is a program for the kernel's classic BPF machine, which sees the call's number, the machine's architecture
and the arguments as numbers; it cannot follow a pointer.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from workers.sandbox.kernel import system_call
from workers.sandbox.syscall_table import ALLOWED, machine, number

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD: Final = 0x20
_AND: Final = 0x54
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_IF_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000
_SET_MODE_FILTER: Final = 1
_FLAG_TSYNC: Final = 1
_ACTION_IS_AVAILABLE: Final = 2
_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT: Final = 0x40000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

CLONE_THREAD: Final = 0x10000
CLONE_NEW_NAMESPACE: Final = 0x7E020080  # NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF
_IOCTLS: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: the same on both machines."""
_FCNTLS: Final = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC."""
_FIRST_UNKNOWN: Final = 440
"""Numbers from here on are newer than the table; ENOSYS makes a newer libc fall back to what it used before."""


class Instruction(NamedTuple):
    """One step of the filter; the jumps count the instructions to skip."""

    code: int
    if_true: int
    if_false: int
    value: int


def is_available() -> bool:
    """Whether this kernel takes filters that answer calls with an error."""
    try:
        system_call("seccomp", _ACTION_IS_AVAILABLE, 0, ctypes.create_string_buffer(struct.pack("=I", _ERRNO)))
    except OSError:
        return False
    return True


def install(program: Sequence[Instruction]) -> None:
    """Put every thread of this process, and all it starts, under the filter for good. Needs ``no_new_privs``."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    failed_thread = system_call("seccomp", _SET_MODE_FILTER, _FLAG_TSYNC, header)
    if failed_thread:
        raise OSError(errno.EBUSY, f"seccomp: thread {failed_thread} has a filter of its own")


def allow_list(on: str | None = None, *, pid: int | None = None) -> list[Instruction]:
    """Return the runner's filter.

    Args:
        on: The machine; None: this one.
        pid: The process that ``tgkill`` may name; None: this one.
    """
    on = on or machine()
    program = [*_right_machine(on), Instruction(_IF_AT_LEAST, 0, 1, _FIRST_UNKNOWN), _refuse(errno.ENOSYS)]
    program += _when("clone3", on, [_refuse(errno.ENOSYS)])
    program += _when("clone", on, _only_threads())
    program += _when("tgkill", on, _argument_in(0, [os.getpid() if pid is None else pid]))
    program += _when("prlimit64", on, _argument_in(0, [0]))
    program += _when("socketpair", on, _only_unix_streams())
    program += _when("ioctl", on, _argument_in(1, _IOCTLS))
    program += _when("fcntl", on, _argument_in(1, _FCNTLS))
    for known in sorted(found for name in ALLOWED if (found := number(name, on)) is not None):
        program += [Instruction(_IF_EQUAL, 0, 1, known), _return(ALLOW)]
    return [*program, _refuse(errno.EPERM)]


def deny_list(numbers: Iterable[int], *, error: int, on: str | None = None) -> list[Instruction]:
    """Return a filter that answers the numbered calls with ``error`` and allows all others."""
    program = _right_machine(on or machine())
    for each in numbers:
        program += [Instruction(_IF_EQUAL, 0, 1, each), _refuse(error)]
    return [*program, _return(ALLOW)]


def _right_machine(on: str) -> list[Instruction]:
    """End a process that calls by another architecture's numbers, then load the call's number."""
    steps = [_load(_ARCHITECTURE), Instruction(_IF_EQUAL, 1, 0, _ARCHITECTURES[on]), _return(KILL), _load(_NUMBER)]
    if on == "x86_64":  # the x32 numbers come with the same architecture
        steps += [Instruction(_IF_AT_LEAST, 0, 1, _X32_BIT), _return(KILL)]
    return steps


def _when(name: str, on: str, body: list[Instruction]) -> list[Instruction]:
    """Run ``body``, which must return, for one call."""
    return [Instruction(_IF_EQUAL, 0, len(body), number(name, on) or 0), *body]


def _only_threads() -> list[Instruction]:
    return [
        _load(_ARGUMENTS),
        Instruction(_IF_ANY_BIT, 2, 0, CLONE_NEW_NAMESPACE),
        Instruction(_IF_ANY_BIT, 0, 1, CLONE_THREAD),
        _return(ALLOW),
        _refuse(errno.EPERM),
    ]


def _only_unix_streams() -> list[Instruction]:
    of_type = [Instruction(_AND, 0, 0, _SOCK_TYPE_MASK), *_equals_one_of([_SOCK_STREAM])]
    body = [_load(_ARGUMENTS + 8), *of_type]
    return [_load(_ARGUMENTS), Instruction(_IF_EQUAL, 0, len(body), _AF_UNIX), *body, _refuse(errno.EPERM)]


def _argument_in(index: int, values: Iterable[int]) -> list[Instruction]:
    """Compare the low half, which is all that the kernel reads of a C ``int``."""
    return [_load(_ARGUMENTS + 8 * index), *_equals_one_of(values)]


def _equals_one_of(values: Iterable[int]) -> list[Instruction]:
    steps = []
    for value in values:
        steps += [Instruction(_IF_EQUAL, 0, 1, value), _return(ALLOW)]
    return [*steps, _refuse(errno.EPERM)]


def _load(offset: int) -> Instruction:
    return Instruction(_LOAD, 0, 0, offset)


def _return(action: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, action)


def _refuse(error: int) -> Instruction:
    return _return(_ERRNO | error)
