"""Files in a dictionary."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from dspy_service.adapters.safe_paths import is_safe, require_safe
from dspy_service.domain.errors import FileNotStoredError

if TYPE_CHECKING:
    from dspy_service.ports import ArtifactStore

_PIECE_BYTES = 64 * 1024


class MemoryArtifactStore:
    """Whole files by path, gone with the process."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def put(self, path: str, data: bytes) -> None:
        """Write a file, replacing one of the same name."""
        self.files[require_safe(path)] = bytes(data)

    async def put_new(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; True when it was written."""
        is_new = require_safe(path) not in self.files
        if is_new:
            self.files[path] = bytes(data)
        return is_new

    async def get(self, path: str) -> bytes:
        """Return a file's bytes, or raise FileNotStoredError."""
        if path not in self.files:
            raise FileNotStoredError(path)
        return self.files[path]

    async def get_part(self, path: str, *, first_byte: int, byte_count: int) -> bytes:
        """Return bytes from the middle of a file, or raise FileNotStoredError."""
        if path not in self.files:
            raise FileNotStoredError(path)
        return self.files[path][first_byte : first_byte + byte_count]

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """Yield a file in pieces, or raise FileNotStoredError."""
        data = await self.get(path)
        for start in range(0, len(data), _PIECE_BYTES):
            yield data[start : start + _PIECE_BYTES]

    async def list(self, folder: str) -> list[str]:
        """Return the paths of all files below ``folder``, sorted."""
        return sorted(path for path in self.files if is_safe(folder) and path.startswith(f"{folder}/"))

    async def delete(self, path: str) -> None:
        """Delete a file; one that is not there is gone all the same."""
        self.files.pop(require_safe(path), None)

    async def delete_folder(self, folder: str) -> None:
        """Delete every file below ``folder``."""
        for path in await self.list(require_safe(folder)):
            del self.files[path]


if TYPE_CHECKING:
    _proof: ArtifactStore = MemoryArtifactStore()
