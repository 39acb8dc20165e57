"""Whatever somebody plants in the folder of artifacts leads nowhere."""

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.domain.errors import ArtifactCorruptError, StoreUnavailableError
from tests.support.platforms import short_folder


def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that is none of the store's business."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"canary")
    return tmp_path / "outside" / "secret"


def symlink(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def hard_link(place: Path, outside: Path) -> None:
    place.hardlink_to(outside)


def fifo(place: Path, outside: Path) -> None:
    os.mkfifo(place)


def unix_socket(place: Path, outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))


def device(place: Path, outside: Path) -> None:
    try:
        os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make a device")


PLANTS = [symlink, hard_link, fifo, unix_socket, device]


@pytest.mark.parametrize("plant", PLANTS)
async def test_what_the_service_never_makes_is_not_read(
    plant: Callable[[Path, Path], None], short_path: Path, outside: Path
) -> None:
    store = FolderArtifactStore(short_path)
    await store.put("job/other", b"x")
    plant(short_path / "job" / "program.pkl", outside)

    async with asyncio.timeout(5):
        with pytest.raises(ArtifactCorruptError, match="job/program") as caught:
            await store.get("job/program.pkl")
        with pytest.raises(ArtifactCorruptError):
            [piece async for piece in store.stream("job/program.pkl")]

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("plant", PLANTS)
async def test_a_write_goes_through_nothing_that_was_planted(
    plant: Callable[[Path, Path], None], short_path: Path, outside: Path
) -> None:
    store = FolderArtifactStore(short_path)
    await store.put("job/other", b"x")
    plant(short_path / "job" / "program.pkl", outside)

    async with asyncio.timeout(5):
        assert not await store.put_new("job/program.pkl", b"new")
        await store.put("job/program.pkl", b"new")

    assert content(outside) == b"canary"
    assert await store.get("job/program.pkl") == b"new"


async def test_a_linked_folder_leads_nowhere(tmp_path: Path, outside: Path) -> None:
    store = FolderArtifactStore(tmp_path / "artifacts")
    (tmp_path / "artifacts" / "job").symlink_to(outside.parent)

    with pytest.raises(ArtifactCorruptError):
        await store.get("job/secret")
    with pytest.raises(StoreUnavailableError):
        await store.put("job/new", b"x")
    with pytest.raises(StoreUnavailableError):
        await store.delete_folder("job")

    assert await store.list("job") == []
    assert [path.name for path in outside.parent.iterdir()] == ["secret"]


async def test_deleting_a_folder_takes_links_and_leaves_what_they_name(tmp_path: Path, outside: Path) -> None:
    store = FolderArtifactStore(tmp_path / "artifacts")
    await store.put("job/1/program.pkl", b"x")
    (tmp_path / "artifacts" / "job" / "file").symlink_to(outside)
    (tmp_path / "artifacts" / "job" / "folder").symlink_to(outside.parent)

    listed = await store.list("job")
    await store.delete_folder("job")

    assert listed == ["job/1/program.pkl"]
    assert content(outside) == b"canary"
    assert not list((tmp_path / "artifacts").iterdir())


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's."""
    with short_folder() as folder:
        yield folder
