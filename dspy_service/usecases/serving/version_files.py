"""Writes and reads the files of a served version under a signature: its own, so that its job may be deleted."""

from collections.abc import Mapping

from dspy_service.domain import artifact_manifest as manifests
from dspy_service.domain.artifact_manifest import SignatureError
from dspy_service.domain.artifact_paths import MANIFEST, file_in
from dspy_service.domain.errors import ArtifactCorruptError, FileNotStoredError
from dspy_service.domain.serving.program import NewVersion
from dspy_service.ports import ArtifactStore

_NO_FENCE = 0  # the files of a version are written once, by whoever deploys it, and never by an attempt
_NO_LEVEL = ""  # nothing of them was executed


async def write_version_files(
    version: NewVersion, files: Mapping[str, bytes], *, artifacts: ArtifactStore, secret_key: bytes
) -> None:
    """Write the files and then, last, the manifest that signs them all. Writing them again changes nothing."""
    manifest = manifests.sign(
        files,
        key=secret_key,
        tenant=version.tenant,
        job_id=_owner(version),
        fence=_NO_FENCE,
        sandbox_level=_NO_LEVEL,
    )
    for name, data in files.items():
        await artifacts.put(file_in(version.artifact_folder, name), data)
    await artifacts.put(file_in(version.artifact_folder, MANIFEST), manifests.encode(manifest))


async def read_version_files(
    version: NewVersion, *, artifacts: ArtifactStore, secret_key: bytes
) -> Mapping[str, bytes]:
    """Return ``program.json`` and ``metadata.json`` of a version, and ``program.pkl`` of a confined one.

    The pickle is bytes to whoever reads it here: only a confined process may load it.

    Raises:
        ArtifactCorruptError: a file is not there, or not what was signed for this version.
    """
    folder = version.artifact_folder
    place = file_in(folder, MANIFEST)
    try:
        manifest = manifests.verify(
            await artifacts.get(place),
            key=secret_key,
            tenant=version.tenant,
            job_id=_owner(version),
            fence=_NO_FENCE,
        )
        found = {}
        for name, expected in manifest.files.items():
            place = file_in(folder, name)
            found[name] = await artifacts.get(place)
            manifests.require_same(expected, manifests.describe(found[name]))
    except SignatureError as error:
        raise ArtifactCorruptError(place, str(error)) from error
    except FileNotStoredError as error:
        raise ArtifactCorruptError(place, "it belongs to a deployed program, and is not there") from error
    return found


def _owner(version: NewVersion) -> str:
    """Return what stands in the manifest where a job's files name the job."""
    return f"{version.program}/{version.digest}"
