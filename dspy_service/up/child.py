"""One child process: started tied to its parent, its output passed on line by line, restarted and stopped on order."""

import collections
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from dspy_service.adapters.tether import tethered

KEPT_LINES = 20
FIRST_BACKOFF_SECONDS = 0.5
POLL_SECONDS = 0.02
MAX_STARTS_IN_A_ROW = 6  # half a second, then 1, 2, 4 and 8: about 15 s of trying
SETTLED_SECONDS = 60.0  # a child that lived this long starts counting anew


class Child:
    """A process of the platform. Start and revive it from the main thread: it dies with the thread that forked it."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, write: Callable[[str], None]
    ) -> None:
        self.name = name
        self._command = command
        self._environment = dict(environment)
        self._write = write
        self._last_lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._stopping = False
        self._starts = 0
        self._started_at = 0.0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the process, and a thread that passes its output on."""
        self._starts += 1
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            tethered(self._command),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops its children in order
        )
        self._reader = threading.Thread(target=self._pass_on, args=(self._process,), name=self.name, daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether the process lives. Looks without collecting: see ``_collect``."""
        if self._process is None or self._process.returncode is not None:
            return False
        if not hasattr(os, "waitid"):  # macOS has none before Python 3.13
            return self._process.poll() is None
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    @property
    def pid(self) -> int:
        """The process id of the present, or else the last, process."""
        return 0 if self._process is None else self._process.pid

    @property
    def returncode(self) -> int | None:
        """How the process ended; None while it lives."""
        return None if self.running else self._collect()

    @property
    def last_words(self) -> str:
        """The last line that it printed, for the sentence that reports its death."""
        if self._reader is not None:
            self._reader.join(timeout=1.0)
        return next((line for line in reversed(self._last_lines) if line.strip()), "(it printed nothing)")

    def revive_when_due(self) -> bool:
        """Start a dead process again once its back-off has passed; False when it died too often to go on."""
        lived_seconds = time.monotonic() - self._started_at
        if lived_seconds > SETTLED_SECONDS:
            self._starts = 0
        if self._starts >= MAX_STARTS_IN_A_ROW:
            return False
        if lived_seconds >= FIRST_BACKOFF_SECONDS * 2 ** (self._starts - 1):
            self._write(f"{self.name} ended with code {self.returncode}; starting it again.")
            self.start()
        return True

    def ask_to_stop(self) -> None:
        """Ask the process to end, once; does not wait for it."""
        if self._process is not None and not self._stopping and self.running:
            self._process.send_signal(signal.SIGTERM)
        self._stopping = True

    def stop(self, grace_seconds: float) -> None:
        """Ask the process to end, and after ``grace_seconds`` end it and everything that it started."""
        if self._process is None:
            return
        self.ask_to_stop()
        if not self._ended_within(grace_seconds):
            self._write(f"{self.name} did not stop within {grace_seconds:.0f} s and was killed.")
        self._collect()
        if self._reader is not None:
            self._reader.join(timeout=1.0)

    def _ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _collect(self) -> int | None:
        """Kill what is left of the process group, for instance pool children, and return the exit code.

        The leader is collected only here: until then its number, which is the group's, cannot be given to another.
        """
        if self._process is None or self._process.returncode is not None:
            return None if self._process is None else self._process.returncode
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            self._process.kill()
        return self._process.wait()

    def _pass_on(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        with process.stdout as lines:
            for line in lines:
                self._last_lines.append(line.rstrip())
                if not self._stopping:  # Celery says goodbye at length, and advises what does not apply here
                    self._write(f"{self.name:<6} │ {line.rstrip()}")
