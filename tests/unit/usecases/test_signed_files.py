"""What a job left is verified before anything of it is read or served."""

from collections.abc import Awaitable, Callable

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.job import Job, Wish
from dspy_service.usecases.read_artifact import open_artifact_file, read_artifact, read_result
from dspy_service.usecases.read_events import read_events
from dspy_service.usecases.signed_files import stream_signed
from tests.support.claims import JOB_ID, new_job
from tests.support.executed import ScriptedSupervisor, execute_job
from tests.support.signed import SECRET_KEY

FOLDER = f"{JOB_ID}/1"
"""Of the attempt that ended the job; ``<job>/`` has copies that nobody reads."""

Read = Callable[[MemoryJobStore, MemoryArtifactStore, bytes], Awaitable[object]]

PUBLIC = ["program.pkl", "program.json", "metadata.json", "result.json", "events.jsonl"]


async def whole(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, key: bytes) -> object:
    return await read_artifact(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=key)


async def result(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, key: bytes) -> object:
    return await read_result(await jobs.get(JOB_ID), artifacts=artifacts, secret_key=key)


async def log(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, key: bytes) -> object:
    return await read_events(await jobs.get(JOB_ID), jobs=jobs, artifacts=artifacts, secret_key=key)


def download(name: str) -> Read:
    async def read(jobs: MemoryJobStore, artifacts: MemoryArtifactStore, key: bytes) -> object:
        pieces = await open_artifact_file(JOB_ID, name, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=key)
        return b"".join([piece async for piece in pieces])

    return read


READERS = [
    ("program.pkl", whole),
    ("metadata.json", whole),
    ("result.json", result),
    ("events.jsonl", log),
    *((name, download(name)) for name in PUBLIC),
]


@pytest.mark.parametrize("name", PUBLIC)
async def test_an_untouched_file_is_served(name: str) -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())

    served = await download(name)(jobs, artifacts, SECRET_KEY)

    assert served == artifacts.files[f"{FOLDER}/{name}"]


@pytest.mark.parametrize(("name", "read"), READERS)
@pytest.mark.parametrize("position", [0, -1])
async def test_a_flipped_byte_is_never_read(name: str, read: Read, position: int) -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    changed = bytearray(artifacts.files[f"{FOLDER}/{name}"])
    changed[position] ^= 1
    artifacts.files[f"{FOLDER}/{name}"] = bytes(changed)

    with pytest.raises(ArtifactCorruptError, match=name.replace(".", r"\.")):
        await read(jobs, artifacts, SECRET_KEY)


@pytest.mark.parametrize(("name", "read"), READERS)
@pytest.mark.parametrize("damage", ["missing file", "missing manifest", "longer", "shorter", "other key", "no JSON"])
async def test_damage_of_any_kind_is_corruption(name: str, read: Read, damage: str) -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    path = f"{FOLDER}/{name}"
    manifest = f"{FOLDER}/{'events.' if name == 'events.jsonl' else ''}manifest.json"
    if damage == "missing file":
        del artifacts.files[path]
    elif damage == "missing manifest":
        del artifacts.files[manifest]
    elif damage == "longer":
        artifacts.files[path] += b" "
    elif damage == "shorter":
        artifacts.files[path] = artifacts.files[path][:-1]
    elif damage == "no JSON":
        artifacts.files[manifest] = b"{"

    with pytest.raises(ArtifactCorruptError):
        await read(jobs, artifacts, b"x" * 32 if damage == "other key" else SECRET_KEY)


@pytest.mark.parametrize(("name", "read"), READERS)
async def test_files_of_another_tenants_job_are_worth_nothing(name: str, read: Read) -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    record = jobs._records[JOB_ID]
    theirs = Job.model_validate({**record.job.model_dump(), "tenant": "other"})

    with pytest.raises(ArtifactCorruptError, match="another job"):
        await anext(await stream_signed(theirs, name, artifacts=artifacts, secret_key=SECRET_KEY))


async def test_files_of_another_job_are_worth_nothing() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    job = await jobs.get(JOB_ID)
    copy = job.model_copy(update={"job_id": "copy", "result_path": "copy/1"})
    for name in [*PUBLIC, "manifest.json", "events.manifest.json"]:
        artifacts.files[f"copy/1/{name}"] = artifacts.files[f"{FOLDER}/{name}"]

    for name in PUBLIC:
        with pytest.raises(ArtifactCorruptError, match="another job"):
            await stream_signed(copy, name, artifacts=artifacts, secret_key=SECRET_KEY)


async def test_files_of_an_earlier_attempt_are_worth_nothing() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    later = (await jobs.get(JOB_ID)).model_copy(update={"result_fence": 2})

    with pytest.raises(ArtifactCorruptError, match="another job or attempt"):
        await read_result(later, artifacts=artifacts, secret_key=SECRET_KEY)


async def test_a_file_that_nobody_signed_is_not_there() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    artifacts.files[f"{FOLDER}/planted.json"] = b"{}"

    with pytest.raises(FileNotStoredError):
        await stream_signed(await jobs.get(JOB_ID), "planted.json", artifacts=artifacts, secret_key=SECRET_KEY)


async def test_a_folder_that_was_removed_is_not_there() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    artifacts.files.clear()

    for name in PUBLIC:
        with pytest.raises(FileNotStoredError):
            await download(name)(jobs, artifacts, SECRET_KEY)


async def test_a_file_that_is_changed_while_it_is_served_ends_short() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    pieces = await stream_signed(await jobs.get(JOB_ID), "program.pkl", artifacts=artifacts, secret_key=SECRET_KEY)
    artifacts.files[f"{FOLDER}/program.pkl"] = b"forged"

    with pytest.raises(ArtifactCorruptError):
        await anext(pieces)


@pytest.mark.parametrize("name", PUBLIC)
async def test_a_job_that_ended_before_it_began_has_no_file_of_an_attempt(name: str) -> None:
    jobs, artifacts = MemoryJobStore(), MemoryArtifactStore()
    await jobs.create(new_job())
    await jobs.wish(JOB_ID, Wish.CANCEL)

    with pytest.raises(FileNotStoredError):
        await download(name)(jobs, artifacts, SECRET_KEY)
