"""Lets event streams end as soon as the server is told to stop: it waits for open answers, and these never end."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def before_the_end(effect: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Run ``effect`` on this loop when a signal asks the server to stop, besides what the server does itself.

    The server has set its handlers before the application starts; they are called as before. Where there are none, as
    in tests that bring no server, nothing happens.
    """
    loop = asyncio.get_running_loop()
    started: list[asyncio.Task[None]] = []

    def begin() -> None:
        started.append(loop.create_task(effect()))

    def handler_before(former: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(begin)
            former(number, frame)

        return handle

    former = _handlers() if threading.current_thread() is threading.main_thread() else {}
    for number, handler in former.items():
        signal.signal(number, handler_before(handler))
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _handlers() -> dict[int, Callable[[int, FrameType | None], Any]]:
    found = {number: signal.getsignal(number) for number in _SIGNALS}
    return {
        number: handler
        for number, handler in found.items()
        if callable(handler) and handler is not signal.default_int_handler
    }
