"""Records a version whose files are known: the files first, then the version that names them."""

from collections.abc import Mapping
from dataclasses import dataclass

from dspy_service.domain.artifact_paths import MANIFEST, file_in
from dspy_service.domain.errors import IdempotencyKeyReusedError
from dspy_service.domain.serving.errors import LimitReachedError
from dspy_service.domain.serving.program import NewVersion, ProgramVersion
from dspy_service.ports import ArtifactStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.serving.sweep_versions import drop_files
from dspy_service.usecases.serving.version_files import write_version_files


@dataclass(frozen=True)
class VersionLimits:
    """How much of it a tenant may keep; 0: any number."""

    max_programs: int = 0
    max_versions: int = 0
    """Of one program."""


async def record_version(
    version: NewVersion,
    files: Mapping[str, bytes],
    *,
    idempotency_key: str | None,
    limits: VersionLimits,
    programs: ProgramStore,
    artifacts: ArtifactStore,
    secret_key: bytes,
) -> tuple[ProgramVersion, bool]:
    """Write the version's own files, then record it.

    The order matters: a crash in between leaves files that no version names, which ``sweep_versions`` finds; the other
    order would leave a version that cannot be loaded. Whoever deletes an equal version may take the files away just
    before this one is recorded, and nobody does afterwards: so they are looked for once more, and written again.

    Returns:
        The version, and whether it is new: the newest version may be just this one.

    Raises:
        IdempotencyKeyReusedError: the key was used for another version.
        LimitReachedError: the tenant keeps as many programs, or the program as many versions, as may be.
        StoreUnavailableError: also for a moment while equal files are being deleted.
    """
    await write_version_files(version, files, artifacts=artifacts, secret_key=secret_key)
    try:
        recorded, is_new = await programs.add_version(
            version,
            idempotency_key=idempotency_key,
            max_programs=limits.max_programs,
            max_versions=limits.max_versions,
        )
    except (IdempotencyKeyReusedError, LimitReachedError):
        await drop_files(version.tenant, version.program, version.digest, programs=programs, artifacts=artifacts)
        raise
    if is_new and not await _are_there(version, files, artifacts):
        await write_version_files(version, files, artifacts=artifacts, secret_key=secret_key)
    return recorded, is_new


async def _are_there(version: NewVersion, files: Mapping[str, bytes], artifacts: ArtifactStore) -> bool:
    """Look for all of them: a deletion that met the writing may have taken some."""
    found = await artifacts.list(version.artifact_folder)
    return {file_in(version.artifact_folder, name) for name in (*files, MANIFEST)} <= set(found)
