"""Deletes rows that no job names any more, and finds those that none has ever named."""

import asyncio
import logging
import uuid
from typing import Final

from dspy_service.domain.artifact_paths import DATASETS, DATASETS_OWNER, is_dataset
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.patience import Patience

_log: Final = logging.getLogger(__name__)

ORPHAN_SECONDS: Final = 3_600.0
"""A dataset is stored before its job is: it is an orphan only when no job has come for so long."""
DELETE_SECONDS: Final = 30.0
"""Half of the minute for which the store takes no new job that names the dataset."""
MOST_DATASETS: Final = 1_000
LEFT_SECONDS: Final = 86_400.0
"""What the job store never heard of is kept a day longer: should it be the wrong job store, there is time to see it."""
_PAGE: Final = 1_000
_OWNER: Final = "datasets_owner"


async def sweep_datasets(*, jobs: JobStore, artifacts: ArtifactStore, patience: Patience) -> None:
    """Delete the rows that no job has named for an hour; a bounded number of them.

    They are taken one at a time, since no new job may name one while it is deleted. The file goes first and its name
    after it, so that a crash in between leaves nothing: an hour later it is deleted once more.

    Raises:
        StoreUnavailableError: the next sweep goes on.
    """
    for _ in range(MOST_DATASETS):
        paths = await jobs.due_orphans(older_than_seconds=ORPHAN_SECONDS, limit=1)
        if not paths:
            return
        await _delete(paths[0], artifacts=artifacts, patience=patience)
        await jobs.forget_orphan(paths[0])


async def find_left_datasets(*, jobs: JobStore, artifacts: ArtifactStore) -> None:
    """Look through all rows that are stored; those that no job names are deleted after a day, unless one comes.

    These are rows of submissions that ended between the storing of the rows and the recording of the job.

    Raises:
        StoreUnavailableError: they are looked through again.
    """
    if not await owns_files(DATASETS, jobs=jobs, artifacts=artifacts):
        return
    paths = [path for path in await artifacts.list(DATASETS) if is_dataset(path)]
    for begin in range(0, len(paths), _PAGE):
        await jobs.note_orphans(paths[begin : begin + _PAGE], in_seconds=LEFT_SECONDS)


async def owns_files(folder: str, *, jobs: JobStore, artifacts: ArtifactStore) -> bool:
    """Whether what nobody names in this folder may be swept.

    The files of two job stores may lie in one place by mistake, or those of a job store that was lost. So the first
    job store whose worker comes here writes its mark, and nothing is swept for any other.
    """
    owner = (await jobs.pin(_OWNER, uuid.uuid4().hex)).encode()
    await artifacts.put_new(DATASETS_OWNER, owner)
    if await artifacts.get(DATASETS_OWNER) == owner:
        return True
    _log.warning(
        "The files in %s/ belong to another job store, so those that nobody names stay there. When no other "
        "job store uses them, delete %s.",
        folder,
        DATASETS_OWNER,
    )
    return False


async def _delete(path: str, *, artifacts: ArtifactStore, patience: Patience) -> None:
    try:
        async with asyncio.timeout(DELETE_SECONDS):
            await patience.for_files(lambda: artifacts.delete(path), is_over=lambda: False)
    except (StoreUnavailableError, TimeoutError) as error:
        _log.warning("No job names %s any more, but it cannot be deleted yet; that is tried again in an hour.", path)
        raise StoreUnavailableError("artifact store") from error
