"""Writes and reads the files of a job under a signature: nothing is parsed or served before it was verified."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from dspy_service.domain import artifact_manifest as manifests
from dspy_service.domain.artifact_manifest import ArtifactManifest, SignatureError, SignedFile
from dspy_service.domain.artifact_paths import (
    ARCHIVED_FILES,
    attempt_folder,
    file_in,
    manifest_of,
    published_folder,
)
from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.job import Job
from dspy_service.ports import ArtifactStore


async def write_signed(
    folder: str, files: Mapping[str, bytes], *, job: Job, artifacts: ArtifactStore, secret_key: bytes
) -> None:
    """Write the files and then, last, the manifest that signs them all; they are of one manifest."""
    manifest = manifests.sign(
        files,
        key=secret_key,
        tenant=job.tenant,
        job_id=job.job_id,
        fence=job.fence,
        sandbox_level=job.sandbox_level or "",
    )
    for name, data in files.items():
        await artifacts.put(file_in(folder, name), data)
    await artifacts.put(file_in(folder, manifest_of(next(iter(files)))), manifests.encode(manifest))


async def read_signed(job: Job, name: str, *, artifacts: ArtifactStore, secret_key: bytes) -> bytes:
    """Return a file of an ended job.

    Raises:
        FileNotStoredError: the job has no such file.
        ArtifactCorruptError: it has, but not what was signed.
    """
    place = _place(job, name)
    return await _get(place, name, await _expected(job, place, name, artifacts, secret_key), artifacts)


async def stream_signed(job: Job, name: str, *, artifacts: ArtifactStore, secret_key: bytes) -> AsyncIterator[bytes]:
    """Verify a file of an ended job, of any size, then return its pieces; at most two of them are in memory.

    The file is read twice: once to verify it, before this returns, and once to serve it. It is hashed again on the way
    out and its last piece is only given when that agrees, so that a file that is changed in between ends short.

    Raises:
        FileNotStoredError: the job has no such file.
        ArtifactCorruptError: it has, but not what was signed.
    """
    place = _place(job, name)
    expected = await _expected(job, place, name, artifacts, secret_key)
    path = file_in(place.folder, name)
    try:
        async for _ in _verified(path, expected, artifacts.stream(path)):
            pass
    except FileNotStoredError as error:
        raise ArtifactCorruptError(path, "it is signed, and not there") from error
    return _verified(path, expected, artifacts.stream(path))


async def copy_signed(job: Job, name: str, folder: str, *, artifacts: ArtifactStore, secret_key: bytes) -> None:
    """Copy a file of an ended job, all others that the same manifest signs, and last that manifest, to ``folder``.

    Raises:
        FileNotStoredError: the job has no such file.
        ArtifactCorruptError: it has, but one of them is not what was signed.
    """
    place = _place(job, name)
    manifest = await _manifest(job, place, name, artifacts, secret_key)
    for signed, expected in manifest.files.items():
        await artifacts.put(file_in(folder, signed), await _get(place, signed, expected, artifacts))
    await artifacts.put(file_in(folder, manifest_of(name)), manifests.encode(manifest))


@dataclass(frozen=True)
class _Place:
    """A folder, and the fence that its manifest must name."""

    folder: str
    fence: int


def _place(job: Job, name: str) -> _Place:
    """Return where the record says that a file stands; what else lies in the store is of no interest."""
    if name in ARCHIVED_FILES and job.archived_seq:
        return _Place(attempt_folder(job.job_id, job.archive_fence), job.archive_fence)
    if name in ARCHIVED_FILES or job.result_path is None:
        raise FileNotStoredError(file_in(published_folder(job.job_id), name))
    return _Place(job.result_path, job.result_fence)


async def _get(place: _Place, name: str, expected: SignedFile, artifacts: ArtifactStore) -> bytes:
    path = file_in(place.folder, name)
    try:
        data = await artifacts.get(path)
    except FileNotStoredError as error:
        raise ArtifactCorruptError(path, "it is signed, and not there") from error
    _require_same(path, expected, manifests.describe(data))
    return data


async def _verified(path: str, expected: SignedFile, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass the pieces on, the last one only when all of them together are the signed file."""
    digest = hashlib.sha256()
    count = 0
    held: bytes | None = None
    async for piece in pieces:
        if held is not None:
            yield held
        digest.update(piece)
        count += len(piece)
        held = piece
        if count > expected.bytes:
            break
    _require_same(path, expected, SignedFile(sha256=digest.hexdigest(), bytes=count))
    if held is not None:
        yield held


async def _expected(job: Job, place: _Place, name: str, artifacts: ArtifactStore, secret_key: bytes) -> SignedFile:
    """Return what the verified manifest says of the file."""
    manifest = await _manifest(job, place, name, artifacts, secret_key)
    if name not in manifest.files:
        raise FileNotStoredError(file_in(place.folder, name))
    return manifest.files[name]


async def _manifest(
    job: Job, place: _Place, name: str, artifacts: ArtifactStore, secret_key: bytes
) -> ArtifactManifest:
    """Return the verified manifest that signs the file."""
    path = file_in(place.folder, name)
    try:
        data = await artifacts.get(file_in(place.folder, manifest_of(name)))
    except FileNotStoredError as error:
        if path in await artifacts.list(place.folder):
            raise ArtifactCorruptError(path, "its manifest is not there") from error
        raise FileNotStoredError(path) from error
    try:
        return manifests.verify(data, key=secret_key, tenant=job.tenant, job_id=job.job_id, fence=place.fence)
    except SignatureError as error:
        raise ArtifactCorruptError(path, str(error)) from error


def _require_same(path: str, expected: SignedFile, found: SignedFile) -> None:
    try:
        manifests.require_same(expected, found)
    except SignatureError as error:
        raise ArtifactCorruptError(path, str(error)) from error
