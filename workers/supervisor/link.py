"""The supervisor's end of a runner's socket: frames in, bytes out, and nothing that can grow without bound."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final, cast

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame, FrameReader
from workers.supervisor.plain_data import MAX_VALUES

_WRITE_BUFFER_BYTES: Final = 4 << 20
_READ_BYTES: Final = 256 << 10
SLICE_FRAMES: Final = 100
_SLICE_SECONDS: Final = 0.005  # at most of the one event loop that serves everybody, then the others have their turn


class RunnerLink(asyncio.Protocol):
    """Hands on each frame as it comes, some at a time: what one read brought may take many turns of the event loop.

    Args:
        on_frame: Called for every frame; a ProtocolError from it ends the link.
        must_wait: Asked after every read; while it says so, the socket is not read, so that a runner that floods us
            blocks itself. Call :meth:`look_again` when the answer may have changed.
        max_frame_bytes: A longer frame ends the link.
        max_values: So does one whose JSON is made of more values.
        clock: Seconds.
    """

    def __init__(
        self,
        on_frame: Callable[[Frame], None],
        must_wait: Callable[[], bool],
        *,
        max_frame_bytes: int,
        max_values: int = MAX_VALUES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ended: asyncio.Future[ProtocolError | None] = asyncio.get_running_loop().create_future()
        """Done when the socket has closed or what it carried made no sense."""
        self.received_bytes = 0
        """Of all that was read."""
        self._on_frame = on_frame
        self._must_wait = must_wait
        self._frames = FrameReader(max_frame_bytes=max_frame_bytes, max_values=max_values)
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = True
        self._waiting: Iterator[Frame] = iter(())
        self._is_behind = False
        self._is_handing_on = False
        self._is_lost = False
        self._next_turn: asyncio.Handle | None = None

    @property
    def is_mid_frame(self) -> bool:
        """Whether the last bytes were only a part of a frame."""
        return self._frames.pending_bytes > 0

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read and every frame was handed on; else some may wait."""
        return self._reading and not self._is_behind

    def send(self, data: bytes) -> None:
        """Send the bytes of a frame; after the end, into the void."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the runner has taken most of what was sent."""
        await self._writable.wait()

    def look_again(self) -> None:
        """Hand on what waits, and read on or stop reading, as ``must_wait`` says now."""
        if self._is_handing_on or self._next_turn is not None:
            return  # an answer that is given at once looks here again; so does the next turn
        self._hand_on()
        if self._transport is None or self._transport.is_closing():
            return
        reading = self._writable.is_set() and not self._is_behind and not self._must_wait()
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
        self.received_bytes += len(data)
        self._waiting = chain(self._waiting, self._frames.feed(data))  # lazy: decoding costs as much as handing on
        self._is_behind = True
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
        self._is_lost = True
        self.look_again()

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
        self._is_handing_on = True
        try:
            self._hand_on_slice()
        except ProtocolError as error:
            self._end(error)
        except Exception:
            self.close()  # a bug of ours: nothing else would end this link
            raise
        finally:
            self._is_handing_on = False
        if self._is_lost and not self._is_behind:
            self._end(None)

    def _hand_on_slice(self) -> None:
        until = self._clock() + _SLICE_SECONDS
        for _ in range(SLICE_FRAMES):
            if self.ended.done() or not self._writable.is_set():
                return
            frame = next(self._waiting, None)
            if frame is None:
                self._waiting, self._is_behind = iter(()), False
                return
            self._on_frame(frame)
            if self._clock() >= until:
                break
        self._next_turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._next_turn = None
        self.look_again()

    def _end(self, error: ProtocolError | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
