"""What the kernel is asked to refuse, on both machines and for every version of Landlock."""

import ctypes
import errno
import os
import platform
import struct
import sys
import threading
from collections.abc import Sequence

import pytest

from dspy_service.domain.errors import ConfigurationError
from workers.sandbox import syscall_table
from workers.sandbox.landlock import ruleset_attributes
from workers.sandbox.seccomp import ALLOW, KILL, Instruction, allow_list
from workers.sandbox.syscall_table import ALLOWED, FILTERED, MACHINES, OURS, number

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 4242


def refusal(error: int) -> int:
    return 0x00050000 | error


def judged(on: str, call: int, *arguments: int, architecture: int | None = None) -> int:
    """Run the filter as the kernel does, and return its verdict."""
    words = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("=iIQ6Q", call, ARCHITECTURES[on] if architecture is None else architecture, 0, *words)
    return run(allow_list(on, pid=PID), data)


def run(program: Sequence[Instruction], data: bytes) -> int:
    """Interpret the few instructions that our filters use."""
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize("on", MACHINES)
def test_what_the_table_lists_is_allowed(on: str) -> None:
    verdicts = {name: judged(on, found) for name in ALLOWED if (found := number(name, on)) is not None}

    assert {name for name, verdict in verdicts.items() if verdict != ALLOW} == set()
    assert len(verdicts) > 70


@pytest.mark.parametrize("on", MACHINES)
def test_every_other_number_is_refused(on: str) -> None:
    listed = {number(name, on) for name in (*ALLOWED, *FILTERED)}

    verdicts = {call: judged(on, call) for call in range(1024) if call not in listed}

    assert set(verdicts.values()) == {refusal(errno.EPERM), refusal(errno.ENOSYS)}
    assert min(call for call, verdict in verdicts.items() if verdict == refusal(errno.ENOSYS)) == 440


@pytest.mark.parametrize("on", MACHINES)
def test_another_architecture_ends_the_process(on: str) -> None:
    assert judged(on, 0, architecture=0x40000003) == KILL


def test_the_x32_numbers_end_the_process() -> None:
    assert judged("x86_64", 0x40000000 + 39) == KILL


@pytest.mark.parametrize("on", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "verdict"),
    [
        ("clone", (0x3D0F00,), ALLOW),  # what glibc passes for a thread
        ("clone", (17,), refusal(errno.EPERM)),  # a process: SIGCHLD alone
        ("clone", (0x10000 | 0x10000000,), refusal(errno.EPERM)),
        ("clone3", (), refusal(errno.ENOSYS)),
        ("tgkill", (PID,), ALLOW),
        ("tgkill", (PID + 1,), refusal(errno.EPERM)),
        ("prlimit64", (0,), ALLOW),
        ("prlimit64", (PID,), refusal(errno.EPERM)),
        ("socketpair", (1, 1), ALLOW),
        ("socketpair", (1, 1 | 0o2000000 | 0o4000), ALLOW),  # SOCK_CLOEXEC, SOCK_NONBLOCK
        ("socketpair", (1, 2), refusal(errno.EPERM)),  # datagrams can be sent to any address
        ("socketpair", (1, 5), refusal(errno.EPERM)),
        ("socketpair", (2, 1), refusal(errno.EPERM)),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), refusal(errno.EPERM)),  # TIOCSTI
        ("ioctl", (0, 0x8901), refusal(errno.EPERM)),  # FIOSETOWN
        ("fcntl", (0, 1030), ALLOW),
        ("fcntl", (0, 8), refusal(errno.EPERM)),  # F_SETOWN
    ],
)
def test_a_filtered_call_depends_on_its_arguments(on: str, name: str, arguments: tuple[int, ...], verdict: int) -> None:
    call = number(name, on)
    assert call is not None

    assert judged(on, call, *arguments) == verdict


@pytest.mark.parametrize("on", MACHINES)
def test_what_confinement_takes_is_closed_afterwards(on: str) -> None:
    assert {judged(on, found) == ALLOW for name in OURS if (found := number(name, on))} == {False}


def test_no_jump_leaves_the_program() -> None:
    for on in MACHINES:
        program = allow_list(on, pid=PID)
        for at, step in enumerate(program):
            assert at + 1 + max(step.if_true, step.if_false) < len(program) or step.code == 0x06


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux numbers its calls so")
def test_the_numbers_of_this_machine_are_right() -> None:
    libc = ctypes.CDLL(None)

    called = [libc.syscall(number(name, platform.machine())) for name in ("getpid", "getppid", "getuid", "gettid")]

    assert called == [os.getpid(), os.getppid(), os.getuid(), threading.get_native_id()]


def test_an_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    with pytest.raises(ConfigurationError, match="not for riscv64"):
        syscall_table.machine()


@pytest.mark.parametrize(
    ("abi", "size", "rights"),
    [(1, 8, 13), (2, 8, 14), (3, 8, 15), (4, 16, 15), (5, 16, 16), (6, 24, 16), (7, 24, 16), (9, 24, 16)],
)
def test_every_right_that_an_abi_knows_is_withheld(abi: int, size: int, rights: int) -> None:
    attributes = ruleset_attributes(abi)

    handled, *rest = struct.unpack(f"={size // 8}Q", attributes)
    assert handled == (1 << rights) - 1
    assert rest == [3] * (size // 8 - 1)
