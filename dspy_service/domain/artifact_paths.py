"""Where things stand in the artifact store: every path in one place.

::

    datasets/<tenant>/<sha256>.json   the rows of a job, content-addressed, shared by equal submissions of one tenant
    <job_id>/<fence>/…                what one attempt wrote; private until its fenced finish
    <job_id>/…                        what the finish published
"""

PROGRAM_PICKLE = "program.pkl"
METADATA = "metadata.json"
PROGRAM_STATE = "program.json"
RESULT = "result.json"
SPEC = "spec.json"
"""What was asked for, sources included; not for download."""
EVENTS = "events.jsonl"
MANIFEST = "manifest.json"
EVENTS_MANIFEST = "events.manifest.json"
"""Signs the event log, which is written after the job has ended, when ``manifest.json`` stands already."""

PUBLIC_FILES = (PROGRAM_PICKLE, METADATA, PROGRAM_STATE, RESULT, EVENTS)
"""The names that a client may download; anything else is not found."""


def dataset_path(tenant: str, sha256: str) -> str:
    """Return where a tenant's rows with this digest stand.

    Two tenants share nothing: whether a file had to be written would tell one that the other has the same rows.
    """
    return f"datasets/{tenant}/{sha256}.json"


def attempt_folder(job_id: str, fence: int) -> str:
    """Return the folder that only the holder of ``fence`` writes."""
    return f"{job_id}/{fence}"


def published_folder(job_id: str) -> str:
    """Return the folder that readers see once the job has ended."""
    return job_id


def file_in(folder: str, name: str) -> str:
    """Return the path of one file of a folder."""
    return f"{folder}/{name}"


def manifest_of(name: str) -> str:
    """Return the name of the manifest that signs the file ``name`` of the same folder."""
    return EVENTS_MANIFEST if name == EVENTS else MANIFEST


def public_artifact_path(job_id: str) -> str:
    """Return ``program_artifact_path``, the name that the HTTP contract gives to the published folder."""
    return f"artifacts/{job_id}"
