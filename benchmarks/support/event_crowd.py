"""Readers of event streams, in a process of their own so that they do not slow down what they measure.

``follow`` holds one connection for each reader and notes how late every message is. ``reconnect`` goes through the SDK
and drops its connections at random. Both print ``ready`` once they read, and then what they saw as JSON.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from dspy_service.client import AsyncClient

MARK = "n={number} t={seconds:.6f}"
"""What a writer puts into each event: its number from 1, and when it was written."""

_FOUND = re.compile(rb"n=(\d+) t=(\d+\.\d+)")
_LONGEST_MARK = 40
_CONNECTING_AT_A_TIME = 50


@dataclass
class Seen:
    """What all readers saw together."""

    lags_ms: list[float] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    connections: int = 0

    def count(self, numbers: Sequence[int], *, last: int) -> None:
        """Compare what one reader saw with what was written."""
        self.lost += len(set(range(1, last + 1)) - set(numbers))
        self.doubled += len(numbers) - len(set(numbers))


class _Reader(asyncio.Protocol):
    """One connection that looks for marks in whatever comes."""

    def __init__(self, request: bytes, last: int, lags_ms: list[float]) -> None:
        self._request = request
        self._last = last
        self._lags_ms = lags_ms
        self._rest = b""
        self.numbers: list[int] = []
        self.begun = asyncio.Event()
        self.done = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self.begun.set()
        text = self._rest + data
        end = 0
        for found in _FOUND.finditer(text):
            self.numbers.append(int(found[1]))
            self._lags_ms.append(1000 * (now - float(found[2])))
            end = found.end()
        self._rest = text[max(end, len(text) - _LONGEST_MARK) :]
        if self.numbers and self.numbers[-1] >= self._last:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self.begun.set()
        self.done.set()


async def follow(url: str, path: str, *, readers: int, last: int, seconds: float) -> Seen:
    """Read with many connections at once until each has seen the last mark."""
    seen = Seen(connections=readers)
    address = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(_CONNECTING_AT_A_TIME)

    async def one() -> _Reader:
        async with gate:
            _, reader = await loop.create_connection(
                lambda: _Reader(request, last, seen.lags_ms), address.hostname, address.port
            )
            await reader.begun.wait()
        return reader

    crowd = await asyncio.gather(*(one() for _ in range(readers)))
    print("ready", flush=True)
    await asyncio.wait([asyncio.create_task(reader.done.wait()) for reader in crowd], timeout=seconds)
    for reader in crowd:
        seen.count(reader.numbers, last=last)
    return seen


async def reconnect(url: str, job_id: str, *, readers: int, last: int, reconnects: int, seed: int) -> Seen:
    """Read through the SDK, and drop each connection after a random number of events."""
    seen = Seen()
    draw = random.Random(seed)  # noqa: S311  # reproducible, no secret
    stride = max(2, 3 * last * readers // (2 * reconnects))  # the last connection of each reader is short

    async def one() -> None:
        numbers: list[int] = []
        position = 0
        async with AsyncClient(url) as client:
            while not numbers or numbers[-1] < last:
                seen.connections += 1
                drop_after = draw.randint(1, stride)
                async with aclosing(client.watch(job_id, after=position)) as events:
                    async for event in events:
                        position = event.seq
                        found = _FOUND.search(str(event.data.get("message")).encode())
                        numbers += [int(found[1])] if found else []
                        drop_after -= 1
                        if not drop_after or (numbers and numbers[-1] >= last):
                            break
        seen.count(numbers, last=last)

    print("ready", flush=True)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(readers):
            tasks.create_task(one())
    return seen


def main() -> None:
    """Read as the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("what", help="path to follow, or job to reconnect to")
    parser.add_argument("--readers", type=int, required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--reconnects", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.reconnects:
        work = reconnect(
            asked.url,
            asked.what,
            readers=asked.readers,
            last=asked.last,
            reconnects=asked.reconnects,
            seed=asked.seed,
        )
    else:
        work = follow(asked.url, asked.what, readers=asked.readers, last=asked.last, seconds=asked.seconds)
    json.dump(asdict(asyncio.run(asyncio.wait_for(work, asked.seconds + 60))), sys.stdout)


if __name__ == "__main__":
    main()
