"""The hosts of a serving process, one for each program that needs its own code."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from dspy_service.domain.artifact_paths import PROGRAM_PICKLE
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import RunError
from workers.sandbox.launch import Child
from workers.serving.hosting.crashes import Crashes
from workers.serving.hosting.host import Host
from workers.serving.hosting.rules import HostRules
from workers.serving.run_errors import KnownRunError
from workers.supervisor.standby import Standby

_TEND_SECONDS: Final = 1.0

_Key = tuple[str, str]
"""Tenant and folder of a version's files: a process is never shared by two of either."""

ReadFiles = Callable[[ProgramVersion], Awaitable[Mapping[str, bytes]]]
"""Returns a version's files when they are what was signed."""

Opening = Callable[[bytes], Iterable[bytes]]
"""Returns the frames that hand a pickled program over."""


@dataclass
class _Place:
    """A host that is there or being started, and who uses it."""

    starting: asyncio.Task[Host]
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)

    @property
    def is_idle(self) -> bool:
        """Whether nobody would miss it."""
        return self.users == 0 and self.starting.done()

    @property
    def is_over(self) -> bool:
        """Whether the host could not be started, or has ended."""
        if not self.starting.done():
            return False
        has_failed = self.starting.cancelled() or self.starting.exception() is not None
        return has_failed or self.starting.result().ended.done()


class HostedPrograms:
    """Belongs to one event loop, whose thread lives as long as the hosts: the kernel ends them with that thread.

    Args:
        launch: Starts a confined process, which warms up by itself.
        read_files: Reads a version's files.
        rules: What hosts may use.
    """

    def __init__(self, launch: Callable[[], Child], read_files: ReadFiles, rules: HostRules) -> None:
        self._standby = Standby(launch, keep=rules.keeps_standby)
        self._read_files = read_files
        self._rules = rules
        self._places: OrderedDict[_Key, _Place] = OrderedDict()
        self._crashes = Crashes()
        self._changed = asyncio.Condition()
        self._closing: set[asyncio.Task[None]] = set()
        self._tending: asyncio.Task[None] | None = None
        self._started_at = time.monotonic()

    @asynccontextmanager
    async def host(self, version: ProgramVersion, opening: Opening) -> AsyncIterator[Host]:
        """Lend the host of a version; it is started when there is none, and stays while it is lent.

        Raises:
            KnownRunError: it cannot be started, or there is no place for it for too long.
            ArtifactCorruptError: the version's files are not what was signed.
        """
        place = await self._place(version, opening)
        try:
            yield await asyncio.shield(place.starting)
        finally:
            place.users -= 1
            place.used_at = time.monotonic()
            await self._tell()

    def is_warm(self, version: ProgramVersion) -> bool:
        """Whether a version's host can take a run at once."""
        key = _key(version)
        return self._is_there(key) and self._places[key].starting.done()

    async def aclose(self) -> None:
        """End every process; no run may go on."""
        if self._tending is not None:
            self._tending.cancel()
        self._standby.close()
        for key in tuple(self._places):
            self._end(key)
        while self._closing:
            await asyncio.wait(self._closing)

    async def _place(self, version: ProgramVersion, opening: Opening) -> _Place:
        """Return a place that is taken for the caller."""
        key = _key(version)
        try:
            async with asyncio.timeout(self._rules.place_seconds), self._changed:
                await self._changed.wait_for(lambda: self._is_there(key) or self._has_room(key))
        except TimeoutError:
            message = "All processes for programs of their own code are busy with other programs; send it again."
            raise KnownRunError(RunError(code="overloaded", message=message, retryable=True)) from None
        if not self._is_there(key):
            self._begin(key, version, opening)
        place = self._places[key]
        place.users += 1
        self._places.move_to_end(key)
        return place

    def _is_there(self, key: _Key) -> bool:
        """Whether a host stands or is being started; forgets those that are over."""
        for each in [each for each, place in self._places.items() if place.is_over]:
            del self._places[each]
        return key in self._places

    def _has_room(self, wanted: _Key) -> bool:
        """Whether one more may be started; the one that was not used for longest gives way.

        A tenant that has its share can only have a place of its own instead: busy ones may take half an hour.
        """
        own = [key for key in self._places if key[0] == wanted[0]]
        has_share = len(own) >= self._rules.tenant_hosts
        if not has_share and len(self._places) < self._rules.max_hosts:
            return True
        idle = next((key for key in (own if has_share else self._places) if self._places[key].is_idle), None)
        if idle is None:
            return False
        self._end(idle)
        return True

    def _begin(self, key: _Key, version: ProgramVersion, opening: Opening) -> None:
        self._crashes.refuse_hot(key)
        loop = asyncio.get_running_loop()
        starting = loop.create_task(self._started(key, version, opening))
        starting.add_done_callback(lambda _task: self._keep(self._tell()))
        self._places[key] = _Place(starting)
        if self._tending is None:
            self._tending = loop.create_task(self._tend())

    async def _started(self, key: _Key, version: ProgramVersion, opening: Opening) -> Host:
        files = await self._read_files(version)
        self._started_at = time.monotonic()
        host = Host(self._standby.take(), self._rules, f"{version.program} version {version.version}")
        host.ended.add_done_callback(lambda _ended: self._note_end(key, host))
        try:
            await host.open(opening(files[PROGRAM_PICKLE]))
        except BaseException:
            await host.aclose()
            raise
        self._standby.refill()
        return host

    def _note_end(self, key: _Key, host: Host) -> None:
        if host.is_at_fault:
            self._crashes.note(key, host.ended.result())
        self._keep(self._tell())

    def _end(self, key: _Key) -> None:
        place = self._places.pop(key)
        self._keep(self._ended(place))

    async def _ended(self, place: _Place) -> None:
        place.starting.cancel()
        with suppress(asyncio.CancelledError, Exception):  # whoever asked for it was told
            await (await place.starting).aclose()

    def _keep(self, step: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(step)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _tend(self) -> None:
        """End what nobody has used for long."""
        while True:
            await asyncio.sleep(min(_TEND_SECONDS, self._rules.idle_seconds / 2))
            long_ago = time.monotonic() - self._rules.idle_seconds
            for key in [key for key, place in self._places.items() if place.is_idle and place.used_at < long_ago]:
                self._end(key)
            if not self._places and self._started_at < long_ago:
                self._standby.close()


def _key(version: ProgramVersion) -> _Key:
    return version.tenant, version.artifact_folder
