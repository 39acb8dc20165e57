"""Reads what a host writes to stdout and stderr, so that it never blocks; some of it reaches the operator's log."""

import asyncio
import logging
from typing import IO, Final

from workers.supervisor.plain_text import MAX_LINE_CHARS, one_line

_READ_BYTES: Final = 64 * 1024
_FLOOD_SECONDS: Final = 0.05  # between two reads of what nobody sees: a program that prints without end waits itself

_log: Final = logging.getLogger(__name__)


async def read_output(pipe: IO[bytes], who: str, *, max_bytes: int) -> None:
    """Read until the last writer has closed the stream.

    Args:
        pipe: Our end; the caller closes it.
        who: For the log.
        max_bytes: That are logged; what comes after it is thrown away.
    """
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    left = max_bytes
    try:
        while chunk := await reader.read(_READ_BYTES):
            for line in chunk[: max(0, left)].splitlines():
                _log.info("%s wrote: %s", who, one_line(line.decode(errors="replace"), max_chars=MAX_LINE_CHARS))
            left -= len(chunk)
            if left < 0:
                await asyncio.sleep(_FLOOD_SECONDS)
    finally:
        transport.close()
