"""The signed list of an artifact's files: who wrote them, for which job, and what each one is.

A signature proves origin and not harmlessness: a pickle that this service stored is still opaque bytes.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from dspy_service.domain.schema import Schema

MAX_MANIFEST_BYTES = 64 * 1024

_PURPOSE = "dspy-service/artifact-manifest/1"
"""Keeps these signatures apart from everything else that the same key signs."""

_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SignatureError(ValueError):
    """A manifest or a file is not what was signed; the text says how, as half a sentence."""


class SignedFile(Schema):
    """What one file is."""

    sha256: _Hex
    bytes: Annotated[int, Field(ge=0)]


class ArtifactManifest(Schema):
    """Everything that is signed, and the signature."""

    schema_version: Literal[1] = 1
    tenant: str
    job_id: str
    fence: Annotated[int, Field(ge=0)]
    """Of the attempt that wrote the files; an earlier attempt's folder does not pass for the last one's."""
    sandbox_level: str
    files: dict[str, SignedFile]
    hmac: _Hex


def describe(data: bytes) -> SignedFile:
    """Return what a manifest says of a file with this content."""
    return SignedFile(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def sign(
    files: Mapping[str, bytes], *, key: bytes, tenant: str, job_id: str, fence: int, sandbox_level: str
) -> ArtifactManifest:
    """Return the manifest of ``files``, by name."""
    unsigned = ArtifactManifest(
        tenant=tenant,
        job_id=job_id,
        fence=fence,
        sandbox_level=sandbox_level,
        files={name: describe(data) for name, data in files.items()},
        hmac="0" * 64,
    )
    return unsigned.model_copy(update={"hmac": _signature(unsigned, key)})


def encode(manifest: ArtifactManifest) -> bytes:
    """Return the one byte string that stands for this manifest in a store."""
    return _canonical(manifest.model_dump(mode="json"))


def verify(data: bytes, *, key: bytes, tenant: str, job_id: str, fence: int) -> ArtifactManifest:
    """Read a manifest that must have been signed with this key for this attempt of this tenant's job.

    Raises:
        SignatureError: any bit of it is otherwise, the place from which it was read included.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise SignatureError(f"its manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = ArtifactManifest.model_validate_json(data)
    except ValidationError as error:
        raise SignatureError("its manifest is not one") from error
    if not hmac.compare_digest(_signature(manifest, key), manifest.hmac) or encode(manifest) != data:
        raise SignatureError("the signature of its manifest is wrong")
    if (manifest.tenant, manifest.job_id, manifest.fence) != (tenant, job_id, fence):
        raise SignatureError("its manifest was signed for another job or attempt")
    return manifest


def require_same(expected: SignedFile, found: SignedFile) -> None:
    """Compare a file with its line in a manifest.

    Raises:
        SignatureError: it is another file.
    """
    if found.bytes != expected.bytes or not hmac.compare_digest(found.sha256, expected.sha256):
        raise SignatureError("its content is not what was signed")


def _signature(manifest: ArtifactManifest, key: bytes) -> str:
    rest = manifest.model_dump(mode="json", exclude={"tenant", "job_id", "hmac"})
    message = _canonical([_PURPOSE, manifest.tenant, manifest.job_id, rest])
    return hmac.digest(key, message, hashlib.sha256).hex()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
