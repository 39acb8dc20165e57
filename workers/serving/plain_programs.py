"""The programs that a serving process has rebuilt, by version; each is shared by all its runs."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import dspy

from dspy_service.domain.serving.program import ProgramVersion
from workers.serving.plain_program import rebuild

MAX_PROGRAMS: Final = 128

ReadState = Callable[[ProgramVersion], Awaitable[bytes]]
"""Returns a version's ``program.json`` when it is what was signed."""


class PlainPrograms:
    """Belongs to the event loop on which it is used. What was not used for longest is forgotten.

    Args:
        read_state: Reads a version's state.
        max_programs: That are kept.
    """

    def __init__(self, read_state: ReadState, *, max_programs: int = MAX_PROGRAMS) -> None:
        self._read_state = read_state
        self._max_programs = max_programs
        self._programs: OrderedDict[str, dspy.Module] = OrderedDict()
        self._loading = asyncio.Lock()

    async def of(self, version: ProgramVersion) -> dspy.Module:
        """Return a version's program, which nobody may change.

        Raises:
            ConfigurationError: the version is not plain.
            ProgramStateError: its state is not one that may be loaded.
            ArtifactCorruptError: its file is not what was signed.
        """
        key = version.artifact_folder
        if key not in self._programs:
            async with self._loading:
                if key not in self._programs:
                    state = await self._read_state(version)
                    self._programs[key] = await asyncio.to_thread(rebuild, version, state)
        self._programs.move_to_end(key)
        program = self._programs[key]
        while len(self._programs) > self._max_programs:
            self._programs.popitem(last=False)
        return program
