"""Confined programs as a serving process has them: real processes, a version, and the producer of its runs."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import dspy

from dspy_service.domain.artifact_paths import PROGRAM_PICKLE
from dspy_service.domain.serving.interface import ProgramInterface
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.workers import SandboxLevel
from tests.support.openai_server import OpenAIServer
from tests.support.served import NOW
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.runner import sources
from workers.runner.artifact import pickle_program
from workers.sandbox.launch import Child, launch
from workers.sandbox.levels import best_level
from workers.serving.engine import StreamLimits
from workers.serving.hosting.hosting import Hosting
from workers.serving.hosting.rules import HostRules
from workers.serving.models import ServedModels
from workers.serving.produce import Producer

CANARY = "sk-canary-hosted-9876543210"
RULES = HostRules(keeps_standby=False, ready_seconds=200.0, load_seconds=100.0, silent_seconds=60.0, stop_seconds=30.0)
"""Patient ones: the machine may be busy with other tests."""


def confined(interface: ProgramInterface, lm: ModelSettings, **changes: Any) -> ProgramVersion:  # noqa: ANN401  # fields
    """Return a version that only its own code can rebuild."""
    return ProgramVersion(
        **{
            "tenant": "acme",
            "program": "answers",
            "artifact_folder": "programs/acme/answers/1",
            "digest": "0" * 64,
            "module_name": "operators",
            "interface": interface,
            "hosting": "confined",
            "lm": lm,
            "version": 1,
            "created_at": NOW,
            **changes,
        }
    )


def on_server(server: OpenAIServer, **options: Any) -> ModelSettings:  # noqa: ANN401  # options of a model
    """Return a model that a loopback server plays."""
    return ModelSettings(name="openai/test", base_url=server.base_url, **options)


def pickled(source: str, build: Callable[[Any], dspy.Module]) -> bytes:
    """Return a program as a job leaves it: classes of submitted source travel by value.

    Args:
        source: Submitted source.
        build: Makes the program from the module that the source becomes.
    """
    module = sources._run(source, name=sources.SIGNATURE_MODULE, filename="<signature_code>", kind="signature_error")
    try:
        return pickle_program(build(module))
    finally:
        sources.forget()


@cache
def best() -> SandboxLevel:
    """Return the level of every host here: the strongest that this machine has."""
    return best_level(environ=os.environ).level


@dataclass
class Hosts:
    """What hosts the programs, with every process that it ever started."""

    files: dict[str, bytes]
    """Folder of a version to its pickle."""
    rules: HostRules
    factories: Sequence[str]
    key: str
    """A provider's, of the worker."""
    children: list[Child] = field(default_factory=list)

    def launch(self) -> Child:
        environ = {**os.environ, "OPENAI_API_KEY": self.key}
        self.children.append(launch(best(), environ=environ, module="workers.host", factories=self.factories))
        return self.children[-1]

    async def read(self, version: ProgramVersion) -> dict[str, bytes]:
        return {PROGRAM_PICKLE: self.files[version.artifact_folder]}

    @property
    def alive(self) -> int:
        return sum(child.is_alive() for child in self.children)


class Versions:
    """A store of programs that knows these versions."""

    def __init__(self, versions: dict[str, ProgramVersion]) -> None:
        self._versions = versions

    async def version(self, _tenant: str, name: str, _version: int) -> ProgramVersion:
        return self._versions[name]


@asynccontextmanager
async def hosting(
    *programs: tuple[ProgramVersion, bytes],
    factories: Sequence[str] = (),
    key: str = CANARY,
    **rules: Any,  # noqa: ANN401  # rules that are otherwise than usual
) -> AsyncIterator[tuple[Producer, Hosts]]:
    """Serve versions from their pickles, in processes that are confined as well as this machine can."""
    hosts = Hosts(
        {version.artifact_folder: data for version, data in programs}, replace(RULES, **rules), factories, key
    )
    producer = Producer(
        store=Versions({version.program: version for version, _ in programs}),  # type: ignore[arg-type]  # what counts
        programs=None,  # type: ignore[arg-type]  # none is plain
        models=ServedModels(ModelRegistry(read_provider_environment({"OPENAI_API_KEY": key})), StreamLimits()),
        hosting=Hosting(hosts.launch, hosts.read, hosts.rules),
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(aclosing(producer))
        yield producer, hosts
