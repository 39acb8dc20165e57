"""A real Valkey that can be killed, frozen, filled up, and put back in time."""

import os
import resource
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from tests.support.processes import wait_until

_LOG_FOLDER = "appendonlydir"  # where Valkey keeps its append-only file


class StoreProcess:
    """The embedded store; a context manager. Use it on a thread that outlives it: the server dies with that thread.

    It listens on a Unix socket. Whoever needs TCP goes through a ``TcpProxy``.
    """

    def __init__(self, folder: Path) -> None:
        self._valkey = EmbeddedValkey.start(folder)
        self._kept = folder.with_name(f"{folder.name}-kept")

    @property
    def url(self) -> str:
        return self._valkey.url

    @property
    def socket_path(self) -> Path:
        return self._valkey.socket_path

    @property
    def pid(self) -> int:
        return self._valkey.pid

    def kill(self) -> None:
        """End it at once; its data stays. What it has answered it has written, though perhaps not to the disk."""
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self._valkey.running)

    def restart(self) -> None:
        """Start it again on the same data and the same address."""
        self._valkey.revive()

    def freeze(self) -> None:
        """Let it stand still: connections stay open, and are silent."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def fill_disk(self) -> None:
        """Let no file of it grow any more, as on a full disk.

        A file size limit stands in for a small file system, which only root can mount. Valkey gets EFBIG instead of
        ENOSPC and treats both alike; SIGXFSZ is ignored since Python's start of the server.
        """
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def empty_disk(self) -> None:
        """Give it room again."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def fill_memory(self) -> None:
        """Let it take nothing new into its memory."""
        self._configure("maxmemory", "1mb")

    def empty_memory(self) -> None:
        """Give it room again."""
        self._configure("maxmemory", "0")

    def remember(self) -> None:
        """Keep a copy of its data, as a backup does."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self._valkey.data_dir / _LOG_FOLDER, self._kept)

    def go_back(self) -> None:
        """Kill it and start it on the data that was kept: everything since then never happened."""
        self.kill()
        shutil.rmtree(self._valkey.data_dir / _LOG_FOLDER)
        shutil.copytree(self._kept, self._valkey.data_dir / _LOG_FOLDER)
        self.restart()

    def stop(self) -> None:
        """End it, in whatever state it is."""
        if self._valkey.running:
            self.thaw()
        self._valkey.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _configure(self, name: str, value: str) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.config_set(name, value)
