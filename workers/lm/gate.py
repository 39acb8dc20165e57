"""Whether a job may begin calls to providers now: while it is held, paused or handed back, none begins."""

import asyncio
from collections.abc import Callable
from types import TracebackType


class Gate:
    """``async with gate:`` stands around every attempt at a call, and around nothing that only waits.

    One gate serves all models of one job, on one event loop. A task that is cancelled leaves it at once.
    """

    def __init__(self) -> None:
        self._may_begin = asyncio.Event()
        self._may_begin.set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._is_shut = False
        self._on_close: list[Callable[[], None]] = []
        self.calling = 0
        """Attempts that are at a provider now."""

    @property
    def is_open(self) -> bool:
        """Whether a call would begin at once."""
        return self._may_begin.is_set()

    def when_it_closes(self, act: Callable[[], None]) -> None:
        """Call ``act`` each time when no call may begin any more, for now or for ever."""
        self._on_close.append(act)

    def hold(self) -> None:
        """Let no call begin until :meth:`go_on`."""
        self._close()

    def go_on(self) -> None:
        """Let calls begin again, unless the gate is shut."""
        if not self._is_shut:
            self._may_begin.set()

    def shut(self) -> None:
        """Let no call begin any more."""
        self._is_shut = True
        self._close()

    def _close(self) -> None:
        self._may_begin.clear()
        for act in self._on_close:
            act()

    async def opened(self) -> None:
        """Wait until a call would begin at once."""
        while not self._may_begin.is_set():  # it may close again before a woken task runs
            await self._may_begin.wait()

    async def quiet(self) -> None:
        """Wait until no attempt is at a provider."""
        await self._quiet.wait()

    async def __aenter__(self) -> None:
        await self.opened()
        self.calling += 1
        self._quiet.clear()

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.calling -= 1
        if self.calling == 0:
            self._quiet.set()
