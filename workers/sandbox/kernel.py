"""The few requests to the kernel that Python does not offer, each an error when it is refused."""

import ctypes
import os
from functools import cache
from typing import Any, Final

from workers.sandbox.syscall_table import machine, number

# linux/prctl.h
PR_SET_PDEATHSIG: Final = 1
PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39


def prctl(option: int, value: int = 0) -> int:
    """Set or get an attribute of this process; raises OSError when refused."""
    return _checked(f"prctl({option}, {value})", _libc().prctl(*map(ctypes.c_long, (option, value, 0, 0, 0))))


def system_call(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a call of ``syscall_table.OURS``; a buffer is passed by its address. Raises OSError when refused."""
    call_number = number(name, machine())
    passed = [ctypes.c_long(given) if isinstance(given, int) else given for given in arguments]
    return _checked(name, _libc().syscall(ctypes.c_long(call_number or 0), *passed))


def status() -> dict[str, str]:
    """Return what the kernel says about this process in ``/proc/self/status``."""
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123  # Path is no shorter, and imports more
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


@cache
def _libc() -> Any:  # noqa: ANN401  # ctypes has no types of functions
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _checked(what: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
