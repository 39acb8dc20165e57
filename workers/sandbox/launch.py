"""Starts a runner process with a clean environment and one inherited socket."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dspy_service.domain.workers import SandboxLevel
from workers.sandbox.plan import plan
from workers.sandbox.rlimits import ProcessLimits

RUNNER_MODULE: Final = "workers.runner"

INHERITED_VARIABLES: Final = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
"""All that a runner may learn from the worker's environment; none can hold a secret."""

FIXED_VARIABLES: Final[Mapping[str, str]] = {
    "DSPY_CACHEDIR": "/nonexistent",
    "HOME": "/nonexistent",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else the price map is fetched over the network
    "MALLOC_ARENA_MAX": "4",  # glibc's arenas, 64 MiB each, could fill the address space limit on many cores
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # set order reaches prompts; replay needs it to be the same
    "PYTHONUNBUFFERED": "1",
}

_SOCKET_BUFFER_BYTES: Final = 1 << 20  # a burst of answers must not block the loop


@dataclass(frozen=True)
class Child:
    """A runner process and our end of its socket; whoever holds it must call :meth:`kill`."""

    process: subprocess.Popen[bytes]
    sock: socket.socket = field(repr=False)
    level: SandboxLevel

    @property
    def pid(self) -> int:
        """Process id, and the id of its process group."""
        return self.process.pid

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        if self.process.returncode is not None or not hasattr(os, "waitid"):  # macOS has none before Python 3.13
            return self.process.poll() is None
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def suspend(self) -> None:
        """Let the whole process group stand still; harmless when it has ended. It still dies with its parent."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on; harmless when it does, or has ended."""
        self._signal_group(signal.SIGCONT)

    def _signal_group(self, number: signal.Signals) -> None:
        if self.process.returncode is None:  # not collected: the number is still its group's
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
                os.killpg(self.pid, number)

    def kill_group(self) -> int:
        """End the whole process group and return the exit code (negative: the signal); harmless when it has ended.

        The leader is collected only here: until then its number, which is the group's, cannot be given to another.
        """
        if self.process.returncode is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # it ended just now; macOS says EPERM for a group of zombies
                self.process.kill()
        return self.process.wait()

    def kill(self) -> int:
        """End the group, close our ends, and return the exit code."""
        code = self.kill_group()
        self.sock.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code


def launch(
    level: SandboxLevel,
    *,
    environ: Mapping[str, str],
    module: str = RUNNER_MODULE,
    import_paths: Sequence[str] | None = None,
    factories: Sequence[str] = (),
    limits: ProcessLimits | None = None,
) -> Child:
    """Start a runner.

    Call it on a thread that lives as long as the runner may, which is the main thread of a Celery child: the kernel's
    parent-death signal fires when the *thread* that started the process ends.

    Args:
        level: Passed to the runner, which confines itself and reports what it applied.
        environ: The worker's environment, of which only :data:`INHERITED_VARIABLES` are taken.
        module: What to run as ``__main__``.
        import_paths: Where our packages and the operator's registered modules are; None: as this process has them.
        factories: Dotted paths of the operator's modules and optimizers, which the runner imports before it confines
            itself, since their files cannot be read afterwards.
        limits: What the kernel lets the runner use; None: the defaults.
    """
    planned = plan(level, factories=factories, limits=limits)
    ours, theirs = socket.socketpair()
    try:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [*interpreter_command(module), str(theirs.fileno()), planned.to_json()],
            env=child_environment(environ, import_paths if import_paths is not None else own_import_paths()),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Child(process=process, sock=ours, level=level)


def interpreter_command(module: str) -> list[str]:
    """Return the command that runs a module in a fresh interpreter: no user site, no unsafe path, nothing written."""
    return [sys.executable, "-s", "-P", "-B", "-m", module]


def child_environment(environ: Mapping[str, str], import_paths: Sequence[str]) -> dict[str, str]:
    """Return the runner's whole environment."""
    inherited = {name: environ[name] for name in INHERITED_VARIABLES if name in environ}
    return {**inherited, **FIXED_VARIABLES, "PYTHONPATH": os.pathsep.join(import_paths)}


def own_import_paths() -> list[str]:
    """Return this process's import path less what every interpreter has by itself, as absolute folders."""
    builtin = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    builtin.add(str(Path(sysconfig.get_path("platstdlib")) / "lib-dynload"))
    paths = [str(Path(__file__).resolve().parents[2])]
    for entry in sys.path:
        path = str(Path(entry or ".").resolve())
        if path not in paths and path not in builtin and Path(path).is_dir():
            paths.append(path)
    return paths
