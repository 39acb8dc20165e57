"""Deletes the files of served versions that no version names: left by a crashed deployment, or by a deleted version."""

import asyncio
import logging
from typing import Final

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.serving.version_paths import PROGRAMS, version_folder, version_of_file
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.sweep_datasets import DELETE_SECONDS, owns_files

_log: Final = logging.getLogger(__name__)

LEFT_SECONDS: Final = 86_400.0
"""Files are written before their version is recorded: they are left over only when none has come for so long."""


async def sweep_versions(*, jobs: JobStore, programs: ProgramStore, artifacts: ArtifactStore) -> None:
    """Look through all files of versions; delete those that no version has named since a look a day ago or more.

    Nothing is deleted where the files belong to another job store: see ``owns_files``.

    Raises:
        StoreUnavailableError: they are looked through again.
    """
    if not await owns_files(PROGRAMS, jobs=jobs, artifacts=artifacts):
        return
    found = {version_of_file(path) for path in await artifacts.list(PROGRAMS)}
    for tenant, name, digest in sorted(each for each in found if each is not None):
        await drop_files(tenant, name, digest, unnamed_seconds=LEFT_SECONDS, programs=programs, artifacts=artifacts)


async def drop_files(
    tenant: str,
    name: str,
    digest: str,
    *,
    unnamed_seconds: float = 0.0,
    programs: ProgramStore,
    artifacts: ArtifactStore,
) -> None:
    """Delete the files of a digest if no version has named it for so long; those that cannot be deleted wait a day.

    No version can name them meanwhile, so that none loses its files.

    Raises:
        StoreUnavailableError: the programs cannot be asked.
    """
    told = await programs.leave(tenant, name, digest, unnamed_seconds=unnamed_seconds)
    if told is None:
        return
    folder = version_folder(tenant, name, digest)
    try:
        async with asyncio.timeout(DELETE_SECONDS):
            await artifacts.delete_folder(folder)
    except (StoreUnavailableError, TimeoutError) as error:
        _log.warning("No version names %s any more, but it cannot be deleted yet: %r", folder, error)
        return
    await programs.forget_left(tenant, name, digest, told=told)
