"""The host's end of its socket: frames in on the event loop, frames out from any thread."""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import HOST_VALUES, MAX_FRAME_BYTES, Frame, FrameReader, encode

EXIT_CLOSED: Final = 3
"""Exit status when the other end went away."""
EXIT_PROTOCOL: Final = 4
"""Exit status when its frames make no sense."""


class ServiceLink(asyncio.Protocol):
    """Make it on the event loop that it belongs to."""

    def __init__(self) -> None:
        self.on_frame: Callable[[Frame], None] | None = None
        """Called for every frame, on the loop."""
        self.max_frame_bytes = MAX_FRAME_BYTES
        """What the other end takes; a larger frame would end this process."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return self._loop

    @property
    def is_on_loop(self) -> bool:
        """Whether the calling thread is the loop's."""
        return threading.get_ident() == self._thread

    def send(self, frame: Mapping[str, Any]) -> None:
        """Send a frame; those of one thread keep their order.

        Raises:
            ProtocolError: the frame is not JSON, or larger or made of more values than the other end takes.
        """
        data = encode(frame, max_frame_bytes=self.max_frame_bytes, max_values=HOST_VALUES)
        if self.is_on_loop:
            self._write(data)
        else:
            self._loop.call_soon_threadsafe(self._write, data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            for frame in self._frames.feed(data):
                if self.on_frame is not None:
                    self.on_frame(frame)
        except (ProtocolError, KeyError, TypeError, ValueError):
            os._exit(EXIT_PROTOCOL)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's
        """End at once: nobody is left to serve, and atexit hooks are the program's code."""
        os._exit(EXIT_CLOSED)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
