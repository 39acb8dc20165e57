"""Opens the hosting half of a serving process, by the operator's settings."""

import os

from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.usecases.serving.version_files import read_version_files
from workers.bootstrap import Parent
from workers.sandbox.launch import launch
from workers.sandbox.rlimits import DEFAULT_MEMORY_BYTES, ProcessLimits
from workers.serving.hosting.hosted_programs import ReadFiles
from workers.serving.hosting.hosting import Hosting
from workers.serving.hosting.rules import HostRules

HOST_MODULE = "workers.host"


def open_hosting(parent: Parent, services: Services) -> Hosting | None:
    """Return what hosts programs; None where their code cannot be confined as well as it must be."""
    if not parent.may_run_jobs:
        return None
    settings, level, factories = parent.settings, parent.offer.level, services.registry.factories
    limits = _limits(settings)
    return Hosting(
        lambda: launch(level, environ=os.environ, module=HOST_MODULE, factories=factories, limits=limits),
        _reader(services),
        _rules(settings),
    )


def _rules(settings: Settings) -> HostRules:
    return HostRules(
        max_hosts=settings.max_hosts,
        idle_seconds=settings.host_idle_seconds,
        keeps_standby=settings.standby,
        memory_bytes=settings.runner_memory_bytes,
        threads=settings.runner_threads,
        frame_bytes=settings.runner_frame_bytes,
    )


def _limits(settings: Settings) -> ProcessLimits:
    """Return the kernel's limits, wider than ours; of CPU time none, because a host lives as long as it is used."""
    return ProcessLimits(
        memory_bytes=max(DEFAULT_MEMORY_BYTES, 2 * settings.runner_memory_bytes), threads=2 * settings.runner_threads
    )


def _reader(services: Services) -> ReadFiles:
    async def read(version: ProgramVersion) -> dict[str, bytes]:
        return dict(await read_version_files(version, artifacts=services.artifacts, secret_key=services.secret_key))

    return read
