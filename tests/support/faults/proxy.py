"""A TCP proxy in front of the store that breaks connections as networks do, or at one exact step of a client."""

import asyncio
import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from dspy_service.adapters.redis.lua import script_source

_CHUNK: Final = 1 << 16
_LOOK_SECONDS: Final = 0.01
_START_SECONDS: Final = 10.0


class Moment(StrEnum):
    """Where a step is caught."""

    BEFORE = "before"
    """The script has not run: it is not passed on."""
    AFTER = "after"
    """The script has run, and its answer is not passed on."""


@dataclass(frozen=True)
class Catch:
    """One step of a client that is caught; it stays caught until the connection ends or ``released`` is set."""

    verb: str
    moment: Moment
    hangs_up: bool = False
    """Whether the connection is reset at once, instead of being left in silence."""
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    _first: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Return True for the first connection that meets it, and for no other."""
        return self._first.acquire(blocking=False)

    @cached_property
    def sha(self) -> bytes:
        """What a client names the script by."""
        return hashlib.sha1(script_source(self.verb).encode(), usedforsecurity=False).hexdigest().encode()


class TcpProxy:
    """Stands between clients and a Unix socket, on a thread of its own; a context manager.

    It passes everything on until it is told otherwise. What it is told counts for open connections and new ones.

    Args:
        upstream: The store's socket.
    """

    def __init__(self, upstream: Path) -> None:
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._catches: list[Catch] = []
        self._port = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self.latency_seconds = 0.0
        """Of each way."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}"

    def blackhole(self) -> None:
        """Let nothing through: connections are accepted and stay open, and are silent."""
        self._soon(self._passing.clear)

    def heal(self) -> None:
        """Pass on again; also what has piled up on connections that still stand."""
        self._soon(self._passing.set)

    def reset(self) -> None:
        """Reset every open connection; new ones are accepted."""
        self._soon(self._reset)

    def catch(self, caught: Catch) -> None:
        """Catch the next run of one of the store's scripts by a client; once, at the first of several proxies."""
        self._soon(lambda: self._catches.append(caught))

    def has_met(self, caught: Catch) -> bool:
        """Whether it was a connection through this proxy that was caught."""
        return any(connection.met is caught for connection in self._connections)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(_START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def _soon(self, change: Callable[[], object]) -> None:
        """Change something on the proxy's own thread, and wait until it is so."""

        async def changed() -> None:
            change()

        asyncio.run_coroutine_threadsafe(changed(), self._loop).result(_START_SECONDS)

    def _reset(self) -> None:
        for connection in list(self._connections):
            connection.reset()

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended.wait()
        server.close()
        self._reset()
        await asyncio.gather(*(connection.ended.wait() for connection in list(self._connections)))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run(self._upstream)
        finally:
            self._connections.discard(connection)
            connection.ended.set()

    async def passes(self) -> None:
        """Wait as long as a way through the network takes."""
        await asyncio.sleep(self.latency_seconds)
        await self._passing.wait()

    def to_be_caught(self, request: bytes) -> Catch | None:
        """Return what this request belongs to, if that was not caught before."""
        self._catches = [each for each in self._catches if not each.reached.is_set()]
        return next((each for each in self._catches if each.sha in request), None)


class _Connection:
    """One client's connection and its counterpart. A client of the job store sends one request at a time."""

    def __init__(self, proxy: TcpProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self.met: Catch | None = None
        """What it was caught at last."""
        self._awaited: Catch | None = None
        """What the answer that comes next belongs to."""
        self._ways: asyncio.Future[None] | None = None
        self.ended = asyncio.Event()

    def reset(self) -> None:
        """End it as a firewall does: without a goodbye."""
        client = self._client[1].get_extra_info("socket")
        with contextlib.suppress(OSError):  # it has ended just now
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client[1].transport.abort()
        if self._ways is not None:
            self._ways.cancel()

    async def run(self, upstream: Path) -> None:
        """Pass on until either side ends, or it is reset."""
        self._ways = asyncio.ensure_future(self._pass_on(upstream))
        await asyncio.wait({self._ways})
        self._client[1].transport.abort()

    async def _pass_on(self, upstream: Path) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(str(upstream))
        except OSError:
            return
        ways = [self._requests(self._client[0], writer), self._answers(reader, self._client[1])]
        try:
            await _first_of(ways)
        finally:
            writer.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(_CHUNK):
            self._awaited = self._proxy.to_be_caught(request)
            if self._awaited is not None and self._awaited.moment is Moment.BEFORE and self._awaited.take():
                await self._hold(self._awaited)
            await self._proxy.passes()
            writer.write(request)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await reader.read(_CHUNK):
            awaited = self._awaited
            has_run = awaited is not None and not answer.startswith(b"-NOSCRIPT")  # else it comes again
            if awaited is not None and has_run and awaited.moment is Moment.AFTER and awaited.take():
                await self._hold(awaited)
            await self._proxy.passes()
            writer.write(answer)
            await writer.drain()

    async def _hold(self, caught: Catch) -> None:
        self.met = caught
        caught.reached.set()
        if caught.hangs_up:
            self.reset()
        while not caught.released.is_set():  # noqa: ASYNC110  # it is set on another thread
            await asyncio.sleep(_LOOK_SECONDS)


async def _first_of(ways: list[Coroutine[Any, Any, None]]) -> None:
    """Wait for the first end of two ways, whichever way it ends, and end the other."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
