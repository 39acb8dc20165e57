"""Reads what a runner writes to stdout and stderr, and makes log lines of it up to a cap."""

import asyncio
import logging
from collections.abc import Callable
from typing import IO, Final

from dspy_service.domain.events import EventType, NewEvent
from workers.supervisor.feed import EventFeed
from workers.supervisor.intake import log_data
from workers.supervisor.plain_text import MAX_LINE_CHARS, escape, one_line

_log: Final = logging.getLogger(__name__)

_MIN_LINE_COST: Final = 64  # an event costs more than its text: a megabyte of empty lines is not a megabyte
_BYTES_PER_ENTRY: Final = 1024  # of memory, while it waits for the store
_READ_BYTES: Final = 64 * 1024
_MAX_LINE_BYTES: Final = 4 * MAX_LINE_CHARS  # UTF-8


class OutputReader:
    """One stream of one runner, to its end.

    Args:
        name: ``stdout`` or ``stderr``; the logger's name.
        pipe: Our end; the caller closes it.
        feed: Where the lines go. While it is full the stream is not read.
        max_bytes: What is kept; what comes after it is read and thrown away, so that the program never blocks.
        is_job: Whether the runner has its job; what it writes before, while it warms up, is for the worker's log.
    """

    def __init__(
        self,
        name: str,
        pipe: IO[bytes],
        feed: EventFeed,
        *,
        max_bytes: int,
        is_job: Callable[[], bool] = lambda: True,
    ) -> None:
        self._name = name
        self._pipe = pipe
        self._feed = feed
        self._is_job = is_job
        self._max_bytes = max_bytes
        self._left = max_bytes

    async def run(self) -> None:
        """Read until the last writer has closed the stream."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self._pipe)
        try:
            rest = b""
            while chunk := await reader.read(_READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(rest) > _MAX_LINE_BYTES:
                    self._take(rest)
                    rest = b""
                await self._feed.room()
            if rest:
                self._take(rest)
        finally:
            transport.close()

    def _take(self, line: bytes) -> None:
        if self._left <= 0:
            return
        if not self._is_job():
            text = one_line(line.decode(errors="replace"))
            _log.info("A runner wrote to %s while it warmed up: %s", self._name, text)
            return
        self._left -= max(_MIN_LINE_COST, len(line))
        text = escape(line.decode(errors="replace").rstrip("\r"), max_chars=MAX_LINE_CHARS)
        if text:
            self._log(text)
        if self._left <= 0:
            self._log(f"[{self._name} is cut here: it has passed {self._max_bytes} bytes]")

    def _log(self, text: str) -> None:
        data = log_data("INFO", self._name, text)
        self._feed.add(NewEvent(type=EventType.LOG, data=data), size=len(text) + _BYTES_PER_ENTRY)
