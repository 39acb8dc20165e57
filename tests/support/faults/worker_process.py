"""One worker as an operator starts it: a parent, its slots and their runners; to be killed, frozen or told to end."""

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from dspy_service.up.commands import worker_command, worker_environment
from tests.support.faults.lifetimes import Lifetime, children_of, family_of, survivors
from tests.support.faults.proxy import TcpProxy
from tests.support.platforms import ROOT, plain_environment
from tests.support.processes import wait_until


@dataclass
class WorkerProcess:
    """A running worker. What it started is looked up anew each time."""

    process: "subprocess.Popen[bytes]"
    log: IO[bytes]
    way: TcpProxy | None = None
    """Between it and the store; None: it is connected directly."""
    seen: set[Lifetime] = field(default_factory=set)
    """Every process of it that was ever looked at."""

    @classmethod
    def start(
        cls,
        settings: Mapping[str, str],
        folder: Path,
        *,
        slots: int,
        way: TcpProxy | None = None,
        python_path: str = "",
    ) -> Self:
        """Start it; names of ``settings`` go without the prefix. ``folder`` takes its log."""
        ours = {f"DSPY_SERVICE_{name}": value for name, value in settings.items()}
        log = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed in ``end``
        process = subprocess.Popen(  # noqa: S603  # our own program
            worker_command(("jobs",), slots, log_level="info"),
            cwd=ROOT,
            env=worker_environment(plain_environment(**ours, PYTHONPATH=python_path)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(process, log, way)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def output(self) -> str:
        """Everything that it has printed."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def holds(self, owner: str | None) -> bool:
        """Whether a record's ``owner``, or a worker's id, names it."""
        return f":{self.pid}:" in (owner or "")

    def family(self) -> set[Lifetime]:
        """Return all its processes."""
        family = family_of(self.pid)
        self.seen |= family
        return family

    def slots(self) -> set[Lifetime]:
        """Return the pool children."""
        return {each for each in children_of(self.pid) if "celery" in each.command}

    def runners(self) -> set[Lifetime]:
        """Return the processes that run, or wait for, submitted code."""
        return {each for each in self.family() if each.is_runner}

    def orphans(self) -> list[Lifetime]:
        """Return the processes that outlive it, of those that were looked at."""
        return [] if self.is_running else survivors(self.seen)

    def send(self, number: signal.Signals, to: Iterable[Lifetime] | None = None) -> None:
        """Send a signal to some of its processes, or to the parent alone."""
        self.family()
        for each in [Lifetime.of(self.pid)] if to is None else to:
            if each is not None:
                each.send(number)

    def wait(self, *, seconds: float) -> float:
        """Wait for the end of every process of this worker, and return how long it took."""
        family, began = self.family(), time.monotonic()
        self.process.wait(seconds)
        wait_until(lambda: not survivors(family), seconds=seconds)
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill its parent process; everything else must die by itself."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Kill all of it: runners have sessions of their own."""
        family = self.family() if self.is_running else set()
        for each in family:
            each.send(signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not survivors(family))
        self.log.close()
