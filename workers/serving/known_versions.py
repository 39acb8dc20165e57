"""The versions of served programs that a process has read; what matters of one for a run never changes."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.ports.serving.programs import ProgramStore

MAX_VERSIONS: Final = 1_024
KNOWN_SECONDS: Final = 600.0
"""Far less than the day after which the number of a deleted program's version may be another's."""

_Key = tuple[str, str, int]


class _Known(NamedTuple):
    version: ProgramVersion
    read_at: float


class KnownVersions:
    """Belongs to the event loop on which it is used. What was not used for longest is forgotten.

    Args:
        store: Knows the versions.
        clock: Seconds that only rise.
    """

    def __init__(self, store: ProgramStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[_Key, _Known] = OrderedDict()

    async def of(self, run: Run) -> ProgramVersion:
        """Return a run's version.

        Raises:
            ProgramNotFoundError: it was deleted.
        """
        key = (run.tenant, run.program, run.version)
        known = self._known.get(key)
        if known is None or self._clock() - known.read_at >= KNOWN_SECONDS:
            known = self._known[key] = _Known(await self._store.version(*key), self._clock())
            if len(self._known) > MAX_VERSIONS:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known.version
