"""The half of a serving process that serves programs which only their own code can rebuild."""

from collections.abc import Callable

from dspy_service.domain.serving.program import ProgramVersion
from workers.sandbox.launch import Child
from workers.serving.hosting.hosted_programs import HostedPrograms, ReadFiles
from workers.serving.hosting.hosted_turn import HostedTurn
from workers.serving.hosting.rules import HostRules
from workers.serving.lm import RunCalls
from workers.serving.models import ServedModel
from workers.serving.progress import TakesFacts


class Hosting:
    """Belongs to one event loop, whose thread lives as long as the hosts.

    Args:
        launch: Starts a confined process, which warms up by itself.
        read_files: Reads a version's files.
        rules: What hosts may use.
    """

    def __init__(self, launch: Callable[[], Child], read_files: ReadFiles, rules: HostRules) -> None:
        self._rules = rules
        self._programs = HostedPrograms(launch, read_files, rules)

    def turn(self, version: ProgramVersion, model: ServedModel, calls: RunCalls, facts: TakesFacts) -> HostedTurn:
        """Return what carries out one run of a version."""
        return HostedTurn(version, self._programs, self._rules, model, calls, facts)

    async def aclose(self) -> None:
        """End every process; no run may go on."""
        await self._programs.aclose()
