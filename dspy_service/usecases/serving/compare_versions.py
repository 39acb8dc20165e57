"""Says what two versions of a served program differ in, demonstrations included."""

import pydantic_core

from dspy_service.domain.artifact_paths import METADATA, PROGRAM_STATE
from dspy_service.domain.program_state import WHOLE, recorded_fields
from dspy_service.domain.serving.program import ProgramVersion
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
    (was, demos_before), (now, demos_after) = [await _told(each, artifacts, secret_key) for each in versions]
    return compare_versions(was, now, demos_before=demos_before, demos_after=demos_after)


async def _told(
    version: ProgramVersion, artifacts: ArtifactStore, secret_key: bytes
) -> tuple[ProgramVersion, list[Demo]]:
    """Return a version with what its predictors are told: of several, the instructions of each, under its name.

    Its files were checked before they were signed.
    """
    files = await read_version_files(version, artifacts=artifacts, secret_key=secret_key)
    state = pydantic_core.from_json(files[PROGRAM_STATE])
    names = recorded_fields(pydantic_core.from_json(files[METADATA]))
    predictors = {name: state if name == WHOLE else state[name] for name in names}
    demos = [demo for predictor in predictors.values() for demo in predictor["demos"]]
    if len(predictors) == 1:
        return version, demos
    told = "\n\n".join(f"[{name}]\n{each['signature']['instructions']}" for name, each in predictors.items())
    interface = version.interface.model_copy(update={"instructions": told})
    return version.model_copy(update={"interface": interface}), demos
