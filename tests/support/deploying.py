"""Deployments without a server: the ports that they work with, in memory."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore, MemoryProgramStore
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.models_policy import ModelPolicy
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.usecases.check_request import Rules
from dspy_service.usecases.serving.deploy_program import Deployment, Upload, deploy_program
from tests.support.compiled_programs import compiled_files
from tests.support.signed import SECRET_KEY


@dataclass
class Stage:
    """The ports that a deployment works with."""

    jobs: MemoryJobStore = field(default_factory=MemoryJobStore)
    artifacts: MemoryArtifactStore = field(default_factory=MemoryArtifactStore)
    programs: MemoryProgramStore = field(default_factory=MemoryProgramStore)
    rules: Rules = field(default_factory=lambda: Rules(registry=Registry(), policy=ModelPolicy(), max_rows=100))

    async def deploy(self, source: str | Upload, **changes: object) -> ProgramVersion:
        """Deploy and return the version."""
        return (await self.deploy_told(source, **changes))[0]

    async def deploy_told(self, source: str | Upload, **changes: object) -> tuple[ProgramVersion, bool]:
        """Deploy, and return also whether the version is new."""
        wanted = dataclasses.replace(Deployment(tenant="local", program="answers", source=source), **changes)  # type: ignore[arg-type]  # fields by name
        return await deploy_program(
            wanted,
            programs=self.programs,
            jobs=self.jobs,
            artifacts=self.artifacts,
            rules=self.rules,
            secret_key=SECRET_KEY,
        )

    def names_of(self, version: ProgramVersion) -> set[str]:
        """Return the names of a version's files."""
        folder = version.artifact_folder
        return {path.rpartition("/")[2] for path in self.artifacts.files if path.startswith(folder)}


def upload(*fields: Mapping[str, object], pickle: bytes | None = None, **changes: Any) -> Upload:  # noqa: ANN401  # JSON
    """Return the files of a program that was compiled elsewhere."""
    return Upload(*compiled_files(*fields, **changes), pickle)
