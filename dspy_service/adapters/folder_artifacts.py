"""The artifact store in a local folder that only this service's user may enter."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dspy_service.adapters import folder_tree as tree
from dspy_service.adapters.late_flush import LateFlush
from dspy_service.adapters.safe_paths import is_safe, require_safe
from dspy_service.domain.errors import ConfigurationError, FileNotStoredError, StoreUnavailableError

if TYPE_CHECKING:
    from dspy_service.ports import ArtifactStore

_PIECE_BYTES = 256 * 1024


class FolderArtifactStore:
    """Files below ``folder``, which is made, with its parents, when it is not there.

    Links, pipes, devices and files with a second name are refused: this service makes none of them.

    Raises:
        ConfigurationError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=tree.FOLDER_MODE, parents=True, exist_ok=True)
            self._root = folder.resolve(strict=True)  # the operator may reach it through a link; nobody else
        except OSError as error:
            message = (
                f"DSPY_SERVICE_ARTIFACTS_URL {str(folder)!r} cannot be made ({error.strerror}); choose another folder."
            )
            raise ConfigurationError(message) from error
        self._late_flush = LateFlush(partial(tree.flush_files, self._root))

    async def put(self, path: str, data: bytes) -> None:
        """Write a file, replacing one of the same name; it is on the disk when this returns."""
        require_safe(path)
        with _translated():
            await asyncio.to_thread(tree.write_file, self._root, path, data)

    async def put_new(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; True when it was written. It is on the disk soon after this returns."""
        require_safe(path)
        with _translated():
            return await asyncio.to_thread(self._write_new, path, data)

    async def get(self, path: str) -> bytes:
        """Return a file's bytes. Raises FileNotStoredError or ArtifactCorruptError."""
        with _reading(path):
            return await asyncio.to_thread(self._read, path)

    async def get_part(self, path: str, *, first_byte: int, byte_count: int) -> bytes:
        """Return bytes from the middle of a file. Raises FileNotStoredError or ArtifactCorruptError."""
        with _reading(path):
            return await asyncio.to_thread(self._read, path, first_byte, byte_count)

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """Yield a file in pieces. Raises FileNotStoredError or ArtifactCorruptError."""
        with _reading(path):
            file = await asyncio.to_thread(tree.open_file, self._root, path)
            with file:
                while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                    yield piece

    async def list(self, folder: str) -> list[str]:
        """Return the paths of all files below ``folder``, sorted."""
        if not is_safe(folder):
            return []
        with _translated():
            return sorted(await asyncio.to_thread(tree.list_files, self._root, folder))

    async def delete(self, path: str) -> None:
        """Delete a file; a folder is none."""
        require_safe(path)
        with _translated():
            await asyncio.to_thread(tree.remove_file, self._root, path)

    async def delete_folder(self, folder: str) -> None:
        """Delete everything below ``folder``."""
        require_safe(folder)
        with _translated():
            await asyncio.to_thread(tree.remove_folder, self._root, folder)

    def _write_new(self, path: str, data: bytes) -> bool:
        is_new = tree.write_new_file(self._root, path, data)
        if is_new:
            self._late_flush.add(path)
        return is_new

    def _read(self, path: str, first_byte: int = 0, byte_count: int = -1) -> bytes:
        with tree.open_file(self._root, path) as file:
            file.seek(first_byte)
            return file.read(byte_count)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError("artifact store", reason=error.strerror) from error


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """A name that cannot exist is a name that holds nothing: clients choose some of them."""
    if not is_safe(path):
        raise FileNotStoredError(path)
    with _translated():
        try:
            yield
        except FileNotFoundError as error:
            raise FileNotStoredError(path) from error


if TYPE_CHECKING:
    _proof: ArtifactStore = FolderArtifactStore(Path("artifacts"))
