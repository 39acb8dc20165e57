"""Deletes served versions with their files."""

from dspy_service.ports import ArtifactStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.serving.sweep_versions import drop_files

_PAGE = 100


async def delete_version(
    name: str, version: int, *, tenant: str, programs: ProgramStore, artifacts: ArtifactStore
) -> None:
    """Forget a retired version, then delete its files, unless an equal version has them too.

    The order matters: a crash in between leaves files that ``sweep_versions`` finds; the other order would leave a
    version without files.

    Raises:
        ProgramNotFoundError: there is no such version.
        ProgramVersionInUseError: an alias names it.
        ProgramVersionActiveError: it is not retired.
    """
    found = await programs.version(tenant, name, version)
    await programs.delete_version(tenant, name, version)
    await drop_files(tenant, name, found.digest, programs=programs, artifacts=artifacts)


async def delete_program(name: str, *, tenant: str, programs: ProgramStore, artifacts: ArtifactStore) -> None:
    """Forget a program with all its versions, then delete their files; the order is that of ``delete_version``.

    Raises:
        ProgramNotFoundError: there is no such program.
        ProgramInUseError: it has another alias than ``production``.
    """
    digests: set[str] = set()
    before: int | None = None
    has_more = True
    while has_more:
        versions, has_more = await programs.versions(tenant, name, before=before, limit=_PAGE)
        digests |= {each.digest for each in versions}
        before = versions[-1].version if versions else None
    await programs.delete(tenant, name)
    for digest in sorted(digests):
        await drop_files(tenant, name, digest, programs=programs, artifacts=artifacts)
