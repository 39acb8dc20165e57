"""One worker as a process of its own, seen from outside: its parent, its slots and their runners."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dspy_service.up.commands import worker_command, worker_environment
from tests.support.platforms import ROOT, plain_environment
from tests.support.processes import descendants, is_alive, wait_until


@dataclass
class Worker:
    """One worker: a parent with its slots and their runners."""

    process: "subprocess.Popen[bytes]"
    log: IO[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def family(self) -> set[int]:
        """Return every process of this worker."""
        return {self.pid} | descendants(self.pid)

    def slots(self) -> set[int]:
        """Return the pool children."""
        return {pid for pid in self._children(self.pid) if "celery" in _command(pid)}

    def runners(self) -> set[int]:
        """Return the processes that run, or wait for, submitted code."""
        return {pid for pid in descendants(self.pid) if "workers.runner" in _command(pid)}

    def send(self, number: signal.Signals, *pids: int) -> None:
        """Send a signal to some of its processes, or to the parent alone."""
        for pid in pids or (self.pid,):
            os.kill(pid, number)

    def wait(self, *, seconds: float) -> float:
        """Wait for the end of every process of this worker, and return how long it took."""
        family, began = self.family(), time.monotonic()
        self.process.wait(seconds)
        wait_until(lambda: not any(map(is_alive, family)), seconds=seconds)
        return time.monotonic() - began

    @staticmethod
    def _children(pid: int) -> set[int]:
        found: set[int] = set()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found |= set(map(int, task.read_text(encoding="ascii").split()))
        return found


def start_worker(slots: int, variables: Mapping[str, str], folder: Path) -> Worker:
    """Start a worker with settings of its own; what it prints goes to a file in ``folder``."""
    log = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed with the stage
    process = subprocess.Popen(  # noqa: S603  # our own program
        worker_command(("jobs",), slots, log_level="info"),
        cwd=ROOT,
        env=worker_environment(plain_environment(**variables)),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return Worker(process, log)


def end_worker(worker: Worker) -> None:
    """Kill what is left of a worker: runners have sessions of their own."""
    for pid in worker.family() if worker.process.poll() is None else ():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    worker.process.wait()
    worker.log.close()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
