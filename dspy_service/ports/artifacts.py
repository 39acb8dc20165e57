"""Where files are kept."""

from collections.abc import AsyncIterator
from typing import Protocol


class ArtifactStore(Protocol):
    """Files by slash-separated path. Writes are atomic: a reader sees a whole file or none."""

    async def put(self, path: str, data: bytes) -> None:
        """Write a file, replacing one of the same name. It outlives a power cut once this returns."""
        ...

    async def put_new(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; True when it was written.

        For content-addressed names, whose reader compares the hash: a power cut may cost what was written in the second
        before it, as it may cost the job records of that second.
        """
        ...

    async def get(self, path: str) -> bytes:
        """Return a file's bytes, or raise FileNotStoredError."""
        ...

    async def get_part(self, path: str, *, first_byte: int, byte_count: int) -> bytes:
        """Return one byte or more from the middle of a file, fewer where it ends before.

        Raises FileNotStoredError.
        """
        ...

    def stream(self, path: str) -> AsyncIterator[bytes]:
        """Yield a file in pieces, or raise FileNotStoredError."""
        ...

    async def list(self, folder: str) -> list[str]:
        """Return the paths of all files below ``folder``, sorted."""
        ...

    async def delete(self, path: str) -> None:
        """Delete a file; one that is not there is gone all the same."""
        ...

    async def delete_folder(self, folder: str) -> None:
        """Delete every file below ``folder``."""
        ...
