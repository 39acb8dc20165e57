"""The supervisor's end of a runner's socket: frames in, bytes out, and nothing that can grow without bound."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame, FrameReader
from workers.supervisor.plain_data import MAX_VALUES

_WRITE_BUFFER_BYTES: Final = 4 << 20
_READ_BYTES: Final = 256 << 10


class RunnerLink(asyncio.Protocol):
    """Hands on each frame as it comes.

    Args:
        on_frame: Called for every frame; a ProtocolError from it ends the link.
        must_wait: Asked after every read; while it says so, the socket is not read, so that a runner that floods us
            blocks itself. Call :meth:`look_again` when the answer may have changed.
        max_frame_bytes: A longer frame ends the link.
    """

    def __init__(
        self, on_frame: Callable[[Frame], None], must_wait: Callable[[], bool], *, max_frame_bytes: int
    ) -> None:
        self.ended: asyncio.Future[ProtocolError | None] = asyncio.get_running_loop().create_future()
        """Done when the socket has closed or what it carried made no sense."""
        self._on_frame = on_frame
        self._must_wait = must_wait
        self._frames = FrameReader(max_frame_bytes=max_frame_bytes, max_values=MAX_VALUES)
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = True
        self._waiting: deque[Frame] = deque()
        self._is_handing_on = False

    @property
    def is_mid_frame(self) -> bool:
        """Whether the last bytes were only a part of a frame."""
        return self._frames.pending_bytes > 0

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read and every frame was handed on; else some may wait."""
        return self._reading and not self._waiting

    def send(self, data: bytes) -> None:
        """Send the bytes of a frame; after the end, into the void."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the runner has taken most of what was sent."""
        await self._writable.wait()

    def look_again(self) -> None:
        """Hand on what waits, and read on or stop reading, as ``must_wait`` says now."""
        self._hand_on()
        if self._transport is None or self._transport.is_closing():
            return
        reading = self._writable.is_set() and not self._must_wait()
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def close(self) -> None:
        """Close the socket and stop handing on frames."""
        if self._transport is not None:
            self._transport.abort()
        self._end(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.ended.done():
            return
        try:
            self._waiting.extend(self._frames.feed(data))
        except ProtocolError as error:
            self._hand_on()
            self._end(error)
            return
        self.look_again()

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol: the runner does not read its answers, so it may ask nothing more."""
        self._writable.clear()
        self.look_again()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._writable.set()
        self.look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol; a reset is an end like any other."""
        self._writable.set()
        if exc is not None:
            self._read_rest()
        self._hand_on()
        self._end(None)

    def _read_rest(self) -> None:
        """Read what the runner said before it went away: asyncio gives up both ways when an answer finds nobody."""
        if self._transport is None:
            return
        descriptor = self._transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):
            while data := os.read(descriptor, _READ_BYTES):
                self.data_received(data)

    def _hand_on(self) -> None:
        """Hand on frames while their answers find room: a thousand small questions fit into one read."""
        if self._is_handing_on:
            return  # an answer that is given at once looks here again
        self._is_handing_on = True
        try:
            while self._waiting and not self.ended.done() and self._writable.is_set():
                self._on_frame(self._waiting.popleft())
        except ProtocolError as error:
            self._end(error)
        finally:
            self._is_handing_on = False

    def _end(self, error: ProtocolError | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
