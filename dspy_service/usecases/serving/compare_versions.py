"""Says what two versions of a served program differ in, demonstrations included."""

from collections.abc import Mapping
from typing import Any

import pydantic_core

from dspy_service.domain.artifact_paths import PROGRAM_STATE
from dspy_service.domain.program_state import WHOLE
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.program_description import PLAIN_MODULES
from dspy_service.domain.serving.version_difference import Demo, VersionDifference, compare_versions
from dspy_service.ports import ArtifactStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.serving.version_files import read_version_files


async def compare(
    name: str,
    before: int,
    after: int,
    *,
    tenant: str,
    programs: ProgramStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
) -> VersionDifference:
    """Compare two versions of one program.

    Raises:
        ProgramNotFoundError: there is no such program or version.
        ArtifactCorruptError: the files of one are not what was signed.
    """
    versions = [await programs.version(tenant, name, number) for number in (before, after)]
    demos = [await _demos(version, artifacts, secret_key) for version in versions]
    return compare_versions(*versions, demos_before=demos[0], demos_after=demos[1])


async def _demos(version: ProgramVersion, artifacts: ArtifactStore, secret_key: bytes) -> list[Demo]:
    """Return the demonstrations of a version's one predictor; its file was checked before it was signed."""
    files = await read_version_files(version, artifacts=artifacts, secret_key=secret_key)
    state: Mapping[str, Any] = pydantic_core.from_json(files[PROGRAM_STATE])
    predictor = PLAIN_MODULES[version.module_name]
    found: list[Demo] = (state if predictor == WHOLE else state[predictor])["demos"]
    return found
