"""`python main.py` as a user runs it: on a free port, with folders of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from dspy_service.up.binding import free_port
from tests.support.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90.0  # two cores, shared with whatever else the machine does
STOP_SECONDS = 60.0  # answers that are being written may go on for half of that


def plain_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without settings of the service, and with ``changes``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DSPY_SERVICE_")}
    return {**inherited, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONUNBUFFERED": "1", **changes}


@dataclass
class Started:
    """A program that a test started, and everything that it printed."""

    process: subprocess.Popen[str]
    base_url: str
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_until_ready(self) -> None:
        """Wait until ``/health`` is content; fail at once when the program ends instead."""
        with httpx.Client(trust_env=False, timeout=2.0) as http:
            wait_until(lambda: self._is_ready(http), seconds=READY_SECONDS)

    def wait_for(self, pattern: str) -> None:
        """Wait until a line matches."""
        wait_until(lambda: re.search(pattern, self.output) is not None, seconds=READY_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, wait for the end and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return code

    def _is_ready(self, http: httpx.Client) -> bool:
        assert self.process.poll() is None, f"it ended with code {self.process.returncode}:\n{self.output}"
        try:
            return http.get(f"{self.base_url}/health").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _read(self, stream: IO[str]) -> None:
        with stream:
            self.lines += (line.rstrip() for line in stream)


@contextmanager
def started(command: list[str], environment: Mapping[str, str], *, port: int, cwd: Path = ROOT) -> Iterator[Started]:
    """Start a program with a session of its own, and end it with the test, whatever happened."""
    with subprocess.Popen(  # noqa: S603 - our own program
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        program = Started(process, f"http://127.0.0.1:{port}")
        try:
            yield program
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextmanager
def platform(
    folder: Path, settings: Mapping[str, str] | None = None, *, python_path: Path | None = None
) -> Iterator[Started]:
    """Run ``python main.py`` with its data and artifacts in ``folder``; names of ``settings`` go without the prefix."""
    given = settings or {}
    port = int(given.get("PORT", "0")) or free_port("127.0.0.1")
    ours = {
        "PORT": str(port),
        "DATA_DIR": str(folder / "data"),
        "ARTIFACTS_URL": str(folder / "artifacts"),
        "WORKER_CONCURRENCY": "1",
        **given,
    }
    environment = plain_environment(**{f"DSPY_SERVICE_{name}": value for name, value in ours.items()})
    if python_path is not None:
        environment["PYTHONPATH"] = str(python_path)
    with started([sys.executable, "main.py"], environment, port=port) as program:
        yield program


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder whose name leaves room for a socket's path."""
    folder = Path(tempfile.mkdtemp(prefix="dspy-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
