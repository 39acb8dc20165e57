"""The files of a version are verified before anything of them is used."""

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.domain.errors import ArtifactCorruptError
from dspy_service.domain.serving.program import NewVersion
from dspy_service.usecases.serving.version_files import read_version_files, write_version_files
from tests.support.served_programs import a_new_version
from tests.support.signed import SECRET_KEY

FILES = {"program.json": b"{}", "metadata.json": b"[]", "program.pkl": b"\x80\x05."}


async def written() -> tuple[NewVersion, MemoryArtifactStore]:
    version, artifacts = a_new_version(), MemoryArtifactStore()
    await write_version_files(version, FILES, artifacts=artifacts, secret_key=SECRET_KEY)
    return version, artifacts


async def test_the_files_come_back_as_they_were_written() -> None:
    version, artifacts = await written()

    assert await read_version_files(version, artifacts=artifacts, secret_key=SECRET_KEY) == FILES


@pytest.mark.parametrize("name", ["program.json", "metadata.json", "program.pkl", "manifest.json"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
async def test_damage_of_any_kind_is_corruption(name: str, damage: str) -> None:
    version, artifacts = await written()
    path = f"{version.artifact_folder}/{name}"
    if damage == "changed":
        artifacts.files[path] += b" "
    else:
        del artifacts.files[path]

    with pytest.raises(ArtifactCorruptError, match=name.replace(".", r"\.")):
        await read_version_files(version, artifacts=artifacts, secret_key=SECRET_KEY)


@pytest.mark.parametrize("change", [{"tenant": "acme"}, {"program": "other"}, {"digest": "b" * 64}])
async def test_files_of_another_version_are_worth_nothing(change: dict[str, str]) -> None:
    version, artifacts = await written()
    other = version.model_copy(update=change)

    with pytest.raises(ArtifactCorruptError, match="another job"):
        await read_version_files(other, artifacts=artifacts, secret_key=SECRET_KEY)


async def test_files_that_another_key_signed_are_worth_nothing() -> None:
    version, artifacts = await written()

    with pytest.raises(ArtifactCorruptError):
        await read_version_files(version, artifacts=artifacts, secret_key=b"x" * 32)
