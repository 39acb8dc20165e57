"""What was stored in the folder is on the disk, so that a power cut costs nothing that Redis has dropped."""

import ctypes
import errno
import os
import stat
from pathlib import Path

import pytest

from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.adapters.folder_tree import flush_files
from dspy_service.domain.errors import StoreUnavailableError
from tests.support.waiting import until


class Disk:
    """Notes each flush: which file or folder, and the names that stood in the folder of ``path`` then."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self.flushes: list[tuple[int, set[str]]] = []
        self.is_broken = False
        self.flushes_folders = True

    def fsync(self, descriptor: int) -> None:
        if self.is_broken:
            raise OSError(errno.EIO, "Input/output error")
        if not self.flushes_folders and stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        names = {path.name for path in self._folder.glob("*")}
        self.flushes.append((os.fstat(descriptor).st_ino, names))

    def names_at(self, path: Path) -> list[set[str]]:
        return [names for inode, names in self.flushes if inode == path.stat().st_ino]


def device_of(path: Path) -> int:
    return path.stat().st_dev


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def store(folder: Path) -> FolderArtifactStore:
    return FolderArtifactStore(folder)


@pytest.fixture
def disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(folder / "job" / "1" / "a")
    monkeypatch.setattr(os, "fsync", disk.fsync)
    return disk


async def test_a_file_is_flushed_before_it_has_its_name_and_its_folder_after_it(
    store: FolderArtifactStore, folder: Path, disk: Disk
) -> None:
    await store.put("job/1/a", b"x")

    [at_file] = disk.names_at(folder / "job" / "1" / "a")
    [at_folder] = disk.names_at(folder / "job" / "1")
    assert "a" not in at_file
    assert at_folder == {"a"}
    assert len(at_file) == 1  # it had another name


async def test_every_folder_that_was_made_is_flushed_into_the_one_above(
    store: FolderArtifactStore, folder: Path, disk: Disk
) -> None:
    await store.put("job/1/a", b"x")
    await store.put("job/1/b", b"x")

    assert len(disk.names_at(folder)) == 1
    assert len(disk.names_at(folder / "job")) == 1


async def test_what_stood_there_stays_when_the_disk_fails(store: FolderArtifactStore, folder: Path, disk: Disk) -> None:
    await store.put("job/1/a", b"before")
    disk.is_broken = True

    with pytest.raises(StoreUnavailableError, match="Input/output error"):
        await store.put("job/1/a", b"after")

    assert await store.get("job/1/a") == b"before"
    assert [path.name for path in (folder / "job" / "1").iterdir()] == ["a"]


async def test_a_file_system_that_flushes_no_folders_will_do(store: FolderArtifactStore, disk: Disk) -> None:
    disk.flushes_folders = False

    await store.put("job/1/a", b"x")

    assert await store.get("job/1/a") == b"x"


async def test_a_new_file_is_flushed_soon_after_it_was_stored(
    store: FolderArtifactStore, folder: Path, disk: Disk
) -> None:
    assert await store.put_new("job/1/a", b"x")

    async def is_flushed() -> bool:
        return bool(disk.names_at(folder / "job" / "1"))

    await until(is_flushed)
    assert disk.names_at(folder / "job" / "1" / "a") == disk.names_at(folder / "job" / "1") == [{"a"}]


async def test_a_new_file_does_not_wait_for_a_disk_that_fails(
    store: FolderArtifactStore, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    await store.put("job/1/b", b"x")
    disk.is_broken = True

    assert await store.put_new("job/1/a", b"x")

    async def is_told() -> bool:
        return "1 files could not be flushed to the disk" in caplog.text

    await until(is_told)
    assert await store.get("job/1/a") == b"x"


async def test_what_is_deleted_before_its_flush_keeps_no_other_file_from_it(
    store: FolderArtifactStore, folder: Path, disk: Disk
) -> None:
    await store.put("job/1/a", b"x")
    await store.put("top", b"x")
    disk.flushes.clear()

    flush_files(folder, ["job/1/gone", "top", "job/1/a", "gone/a"])

    assert len(disk.names_at(folder / "job" / "1" / "a")) == 1
    assert len(disk.names_at(folder / "top")) == 1
    assert len(disk.flushes) == 4  # two files, two folders


async def test_many_new_files_are_flushed_in_one_step(store: FolderArtifactStore, folder: Path, disk: Disk) -> None:
    paths = [f"job/1/{name}" for name in "abcdefgh"]
    for path in paths:
        await store.put(path, b"x")
    disk.flushes.clear()
    flushed: list[int] = []

    def syncfs(descriptor: int) -> int:
        flushed.append(os.fstat(descriptor).st_dev)
        return 0

    flush_files(folder, paths, syncfs=syncfs)

    assert flushed == [device_of(folder)]
    assert disk.flushes == []


async def test_many_new_files_are_flushed_one_by_one_where_there_is_no_other_way(
    store: FolderArtifactStore, folder: Path, disk: Disk
) -> None:
    paths = [f"job/1/{name}" for name in "abcdefgh"]
    for path in paths:
        await store.put(path, b"x")
    disk.flushes.clear()

    flush_files(folder, paths, syncfs=None)

    assert all(len(disk.names_at(folder / path)) == 1 for path in paths)


async def test_a_file_system_that_cannot_be_flushed_is_an_error(store: FolderArtifactStore, folder: Path) -> None:
    def syncfs(descriptor: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    with pytest.raises(OSError, match="Input/output error"):
        flush_files(folder, ["a"] * 9, syncfs=syncfs)


def test_the_systems_own_way_works_where_there_is_one(tmp_path: Path) -> None:
    FolderArtifactStore(tmp_path)

    flush_files(tmp_path, ["a"] * 9)
