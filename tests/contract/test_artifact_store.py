"""Files are whole or absent, names stay inside the store, and what is not there is not found."""

import asyncio
import os
import stat
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.adapters.obstore_artifacts import ObstoreArtifactStore
from dspy_service.domain.errors import ConfigurationError, FileNotStoredError, StoreUnavailableError
from dspy_service.ports import ArtifactStore

UNSAFE = [
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a//b",
    "a/",
    ".hidden",
    "a/./b",
    "a\\b",
    "a\0b",
    "é",
    "a/" * 300 + "b",
]


def modes_in(folder: Path) -> dict[str, int]:
    found = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in found}


class ArtifactContract:
    async def test_a_file_reads_as_it_was_written(self, store: ArtifactStore) -> None:
        data = bytes(range(256)) * 4096

        await store.put("job/1/program.pkl", data)

        pieces = [piece async for piece in store.stream("job/1/program.pkl")]
        assert await store.get("job/1/program.pkl") == data
        assert b"".join(pieces) == data

    async def test_a_part_of_a_file_is_read_without_the_rest(self, store: ArtifactStore) -> None:
        await store.put("job/1/events.jsonl", b"0123456789")

        parts = [
            await store.get_part("job/1/events.jsonl", first_byte=first, byte_count=count)
            for first, count in ((0, 10), (3, 4), (8, 5), (10, 1), (99, 1))
        ]

        assert parts == [b"0123456789", b"3456", b"89", b"", b""]

    async def test_an_empty_file_is_a_file(self, store: ArtifactStore) -> None:
        await store.put("job/empty.txt", b"")

        assert await store.get("job/empty.txt") == b""
        assert b"".join([piece async for piece in store.stream("job/empty.txt")]) == b""

    async def test_a_second_write_replaces_the_first(self, store: ArtifactStore) -> None:
        await store.put("a.json", b"long before")

        await store.put("a.json", b"after")

        assert await store.get("a.json") == b"after"

    async def test_put_new_keeps_what_stands(self, store: ArtifactStore) -> None:
        written = [await store.put_new("datasets/abc.json", data) for data in (b"first", b"second")]

        assert written == [True, False]
        assert await store.get("datasets/abc.json") == b"first"

    async def test_one_of_sixteen_racing_writers_of_a_new_file_wins(self, store: ArtifactStore) -> None:
        written = await asyncio.gather(*(store.put_new("x", str(n).encode()) for n in range(16)))

        assert sum(written) == 1
        assert await store.get("x") == str(written.index(True)).encode()

    async def test_what_is_not_there_is_not_found(self, store: ArtifactStore) -> None:
        await store.put("folder/file", b"x")

        for path in ("nothing", "folder", "folder/nothing"):
            with pytest.raises(FileNotStoredError):
                await store.get(path)
            with pytest.raises(FileNotStoredError):
                await store.get_part(path, first_byte=0, byte_count=1)
            with pytest.raises(FileNotStoredError):
                [piece async for piece in store.stream(path)]

    async def test_a_folder_lists_what_is_below_it(self, store: ArtifactStore) -> None:
        for path in ("job/2/b", "job/2/a", "job/metadata.json", "job2/c", "jobs"):
            await store.put(path, b"x")

        assert await store.list("job") == ["job/2/a", "job/2/b", "job/metadata.json"]
        assert await store.list("job/2") == ["job/2/a", "job/2/b"]
        assert await store.list("nothing") == []

    async def test_a_deleted_file_is_gone_and_its_neighbours_stay(self, store: ArtifactStore) -> None:
        for path in ("datasets/a.json", "datasets/a.json2", "datasets/b/a.json"):
            await store.put(path, b"x")

        for path in ("datasets/a.json", "datasets/a.json", "nothing", "datasets", "datasets/a.json2/x"):
            await store.delete(path)

        assert await store.list("datasets") == ["datasets/a.json2", "datasets/b/a.json"]
        assert await store.put_new("datasets/a.json", b"again")

    async def test_a_deleted_folder_is_gone_and_its_neighbours_stay(self, store: ArtifactStore) -> None:
        for path in ("job/1/a", "job/b", "job2/c"):
            await store.put(path, b"x")

        await store.delete_folder("job")
        await store.delete_folder("job")

        assert await store.list("job") == []
        assert await store.get("job2/c") == b"x"

    @pytest.mark.parametrize("path", UNSAFE)
    async def test_a_name_that_leaves_the_store_is_refused(self, store: ArtifactStore, path: str) -> None:
        with pytest.raises(ValueError, match="is not a relative path"):
            await store.put(path, b"x")
        with pytest.raises(ValueError, match="is not a relative path"):
            await store.put_new(path, b"x")
        with pytest.raises(ValueError, match="is not a relative path"):
            await store.delete(path)
        with pytest.raises(ValueError, match="is not a relative path"):
            await store.delete_folder(path)
        with pytest.raises(FileNotStoredError):
            await store.get(path)
        with pytest.raises(FileNotStoredError):
            await store.get_part(path, first_byte=0, byte_count=1)
        with pytest.raises(FileNotStoredError):
            [piece async for piece in store.stream(path)]
        assert await store.list(path) == []


class TestArtifactsInMemory(ArtifactContract):
    @pytest.fixture
    def store(self) -> MemoryArtifactStore:
        return MemoryArtifactStore()


class TestArtifactsInABucket(ArtifactContract):
    @pytest.fixture
    def store(self) -> ObstoreArtifactStore:
        return ObstoreArtifactStore(MemoryStore())


class TestArtifactsInAFolder(ArtifactContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "made" / "artifacts"

    @pytest.fixture
    def store(self, folder: Path) -> FolderArtifactStore:
        return FolderArtifactStore(folder)

    async def test_folders_and_files_are_private_and_nothing_else_is_left(
        self, store: FolderArtifactStore, folder: Path
    ) -> None:
        await store.put("job/metadata.json", b"{}")
        await store.put("job/metadata.json", b"{}")
        await store.put_new("job/rows.json", b"[]")
        await store.put_new("job/rows.json", b"[]")

        assert modes_in(folder) == {".": 0o700, "job": 0o700, "job/metadata.json": 0o600, "job/rows.json": 0o600}
        assert (folder / "job" / "metadata.json").read_bytes() == b"{}"

    async def test_a_large_file_is_never_in_memory_as_a_whole(self, store: FolderArtifactStore) -> None:
        await store.put("program.pkl", bytes(1 << 20))

        assert max([len(piece) async for piece in store.stream("program.pkl")]) <= 256 * 1024

    async def test_a_folder_that_cannot_be_written_is_unavailable(
        self, store: FolderArtifactStore, folder: Path
    ) -> None:
        (folder / "job").write_text("a file where a folder should be")

        with pytest.raises(StoreUnavailableError, match=r"cannot be used \(Not a directory\)"):
            await store.put("job/metadata.json", b"{}")
        with pytest.raises(FileNotStoredError):
            await store.get("job/metadata.json")

    async def test_a_file_that_is_written_while_its_folder_is_deleted_goes_too(
        self, store: FolderArtifactStore, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put("job/a", b"x")
        remove, late = os.rmdir, [folder / "job" / "late"]

        def remove_a_little_later(path: str, *, dir_fd: int | None = None) -> None:
            if late:
                late.pop().write_bytes(b"x")
            remove(path, dir_fd=dir_fd)

        monkeypatch.setattr(os, "rmdir", remove_a_little_later)

        await store.delete_folder("job")

        assert not (folder / "job").exists()

    async def test_the_operator_may_reach_the_folder_through_a_link(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(folder.parent)
        await FolderArtifactStore(folder).put("b", b"x")

        await FolderArtifactStore(tmp_path / "link" / "artifacts").put("a", b"x")

        assert (folder / "a").read_bytes() == b"x"


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "http://localhost/x"])
def test_an_address_that_is_no_store_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DSPY_SERVICE_ARTIFACTS_URL"):
        ObstoreArtifactStore.at(url)


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="choose another folder"):
        FolderArtifactStore(tmp_path / "file" / "artifacts")


def test_a_bucket_opens_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")

    for url in ("s3://bucket/prefix", "gs://bucket/prefix", "az://container/prefix"):
        assert ObstoreArtifactStore.at(url)
