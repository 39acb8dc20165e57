"""The artifact store on obstore: a bucket of S3, Google Cloud or Azure."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeAlias

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from dspy_service.adapters.safe_paths import is_safe, require_safe
from dspy_service.domain.errors import ConfigurationError, FileNotStoredError, StoreUnavailableError

if TYPE_CHECKING:
    from dspy_service.ports import ArtifactStore

Bucket: TypeAlias = S3Store | GCSStore | AzureStore | MemoryStore
"""What a store may stand on; the last one is for tests."""

_PIECE_BYTES = 256 * 1024
_CONNECT_TIMEOUT = "5 seconds"
_REQUEST_TIMEOUT = "30 seconds"
_RETRY_FOR = timedelta(seconds=60)
_BUCKETS: Mapping[str, type[S3Store | GCSStore | AzureStore]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}


class ObstoreArtifactStore:
    """Objects of ``store``; a write becomes visible as a whole, as a bucket promises."""

    def __init__(self, store: Bucket) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str) -> Self:
        """Open ``s3://``, ``gs://`` or ``az://`` with the provider's usual credentials; nothing connects yet.

        Raises:
            ConfigurationError: the address is none of these, or cannot be used.
        """
        return cls(_open(url))

    async def put(self, path: str, data: bytes) -> None:
        """Write a file, replacing one of the same name."""
        require_safe(path)
        with _translated():
            await obstore.put_async(self._store, path, data)

    async def put_new(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; True when it was written."""
        require_safe(path)
        with _translated():
            try:
                await obstore.put_async(self._store, path, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    async def get(self, path: str) -> bytes:
        """Return a file's bytes, or raise FileNotStoredError."""
        with _reading(path):
            answer = await obstore.get_async(self._store, path)
            return bytes(await answer.bytes_async())

    async def get_part(self, path: str, *, first_byte: int, byte_count: int) -> bytes:
        """Return bytes from the middle of a file, or raise FileNotStoredError."""
        with _reading(path):
            try:
                return bytes(await obstore.get_range_async(self._store, path, start=first_byte, length=byte_count))
            except BaseError:
                found = await obstore.head_async(self._store, path)
                if found["size"] > first_byte:
                    raise
                return b""  # buckets refuse to read behind the end

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """Yield a file in pieces, or raise FileNotStoredError."""
        with _reading(path):
            answer = await obstore.get_async(self._store, path)
            async for piece in answer.stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    async def list(self, folder: str) -> list[str]:
        """Return the paths of all files below ``folder``, sorted."""
        if not is_safe(folder):
            return []
        with _translated():
            return sorted(entry["path"] for entry in await obstore.list(self._store, folder).collect_async())

    async def delete(self, path: str) -> None:
        """Delete a file; one that is not there is gone all the same."""
        require_safe(path)
        with _translated():
            try:
                await obstore.delete_async(self._store, path)
            except FileNotFoundError:
                return

    async def delete_folder(self, folder: str) -> None:
        """Delete every file below ``folder``, many at a time: a day's journal may be tens of thousands."""
        paths = await self.list(require_safe(folder))
        if not paths:
            return
        with _translated():
            try:
                await obstore.delete_async(self._store, paths)
            except FileNotFoundError:  # somebody else deletes it too: one by one, what is gone is gone
                for path in await self.list(folder):
                    await self.delete(path)


def _open(url: str) -> Bucket:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _BUCKETS:
        message = f"DSPY_SERVICE_ARTIFACTS_URL {url!r} is neither a path nor one of s3://, gs://, az://."
        raise ConfigurationError(message)
    try:
        return _BUCKETS[scheme].from_url(
            url,
            client_options={"connect_timeout": _CONNECT_TIMEOUT, "timeout": _REQUEST_TIMEOUT},
            retry_config={"max_retries": 3, "retry_timeout": _RETRY_FOR},
        )
    except (BaseError, ValueError) as error:
        message = f"DSPY_SERVICE_ARTIFACTS_URL cannot be used: {_first_line(error)}"
        raise ConfigurationError(message) from error


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailableError("artifact store") from error


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


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


if TYPE_CHECKING:
    _proof: ArtifactStore = ObstoreArtifactStore(MemoryStore())
