"""Tries, from inside, what a confined process must not be able to do; nothing here changes anything when it works."""

import os
import resource
import socket
from collections.abc import Callable
from typing import Final

from workers.sandbox.kernel import status


def _read() -> None:
    os.listdir("/")  # noqa: PTH208  # Path.iterdir is lazy, and imports more


def _write() -> None:
    os.close(os.open("/dev/null", os.O_WRONLY))


def _inspect() -> None:
    os.close(os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY))


def _signal() -> None:
    os.kill(os.getppid(), 0)


def _connect() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _execute() -> None:
    os.execv("/nonexistent", ["nothing"])  # noqa: S606  # there is no such program


def _raise_limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))


ATTEMPTS: Final[dict[str, Callable[[], None]]] = {
    "read": _read,
    "write": _write,
    "inspect": _inspect,
    "signal": _signal,
    "connect": _connect,
    "fork": _fork,
    "execute": _execute,
    "raise_limit": _raise_limit,
}


def refused() -> list[str]:
    """Return the names of the attempts that the kernel refuses; an attempt that fails otherwise proves nothing."""
    found = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except PermissionError:
            found.append(name)
        except ValueError:  # what the resource module makes of EPERM
            found.append(name)
        except OSError:
            continue
    return found


def observed() -> dict[str, int | bool | str]:
    """Return what the kernel says about this process."""
    told = status()
    return {
        "no_new_privs": told["NoNewPrivs"] == "1",
        "seccomp": int(told["Seccomp"]),
        "cap_eff": int(told["CapEff"], 16),
        "cap_prm": int(told["CapPrm"], 16),
        "cap_inh": int(told["CapInh"], 16),
        "cap_bnd": int(told["CapBnd"], 16),
        "uids": told["Uid"].replace("\t", " "),
        "gids": told["Gid"].replace("\t", " "),
        "groups": told["Groups"],
        "threads": int(told["Threads"]),
        "descriptors": " ".join(map(str, open_descriptors())),
    }


def open_descriptors() -> list[int]:
    """Return the descriptors that are open here."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # Path.iterdir is lazy, and imports more
        try:
            os.fstat(int(name))
        except OSError:  # the one that listed them
            continue
        found.append(int(name))
    return sorted(found)
