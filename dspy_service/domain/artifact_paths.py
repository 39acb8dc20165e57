"""Where things stand in the artifact store: every path in one place.

::

    datasets/<tenant>/<sha256>.json   the rows of a job, content-addressed, shared by equal submissions of one tenant
    datasets/owner.txt                which job store's jobs name these; only that one's workers sweep them
    <job_id>/<fence>/…                what one attempt wrote; read by nobody until its fenced finish names it
    <job_id>/<fence>/best-<n>/…       the best program so far, number n of that attempt
    <job_id>/<fence>/events.jsonl     with index and spec.json, the archive: what left the job store after the end
    <job_id>/journal/<fence>-<n>.seg  answers of language models, in the order in which they came
    <job_id>/…                        copies of result and archive, for people and tools that look at the folder
    programs/…                        what is served, see ``serving.version_paths``; no job's
"""

import re

PROGRAM_PICKLE = "program.pkl"
METADATA = "metadata.json"
PROGRAM_STATE = "program.json"
RESULT = "result.json"
SPEC = "spec.json"
"""What was asked for, sources included; not for download."""
EVENTS = "events.jsonl"
MANIFEST = "manifest.json"
EVENTS_INDEX = "events.index.json"
"""Where in the log which events are, so that a page is read without the rest; not for download."""
EVENTS_MANIFEST = "events.manifest.json"
"""Signs the archive, which is written after the job has ended, when ``manifest.json`` stands already."""

ARCHIVED_FILES = (EVENTS, EVENTS_INDEX, SPEC)
"""What the archive holds, wherever the result stands."""

PROGRAM_FILES = (METADATA, PROGRAM_STATE, PROGRAM_PICKLE)
"""What a runner sends of a program, all three."""

PUBLIC_FILES = (*PROGRAM_FILES, RESULT, EVENTS)
"""The names that a client may download; anything else is not found."""


DATASETS = "datasets"
DATASETS_OWNER = "datasets/owner.txt"

_DATASET = re.compile(r"datasets/[^/]+/[0-9a-f]{64}\.json")


def dataset_path(tenant: str, sha256: str) -> str:
    """Return where a tenant's rows with this digest stand.

    Two tenants share nothing: whether a file had to be written would tell one that the other has the same rows.
    """
    return f"{DATASETS}/{tenant}/{sha256}.json"


def is_dataset(path: str) -> bool:
    """Whether the rows of jobs may stand there; whatever else lies beside them was not put there by a submission."""
    return _DATASET.fullmatch(path) is not None


def attempt_folder(job_id: str, fence: int) -> str:
    """Return the folder that only the holder of ``fence`` writes."""
    return f"{job_id}/{fence}"


def best_folder(job_id: str, fence: int, number: int) -> str:
    """Return the folder of a checkpoint; a new one each time, so that a reader never sees half of two."""
    return f"{attempt_folder(job_id, fence)}/best-{number}"


def attempt_folder_of(path: str) -> tuple[str, int] | None:
    """Return the folder of an attempt, or of one of its checkpoints, that a file stands in, and the attempt's fence.

    None for a file that stands elsewhere.
    """
    parts = path.split("/")[:-1]
    return ("/".join(parts), int(parts[1])) if len(parts) > 1 and parts[1].isdecimal() else None


def journal_folder(job_id: str) -> str:
    """Return the folder of a job's journal."""
    return f"{job_id}/journal"


def journal_segment(job_id: str, fence: int, number: int) -> str:
    """Return the path of one segment; names sort in the order of writing."""
    return f"{journal_folder(job_id)}/{fence:08d}-{number:08d}.seg"


def published_folder(job_id: str) -> str:
    """Return the folder that readers see once the job has ended."""
    return job_id


def file_in(folder: str, name: str) -> str:
    """Return the path of one file of a folder."""
    return f"{folder}/{name}"


def manifest_of(name: str) -> str:
    """Return the name of the manifest that signs the file ``name`` of the same folder."""
    return EVENTS_MANIFEST if name in ARCHIVED_FILES else MANIFEST


def public_artifact_path(job_id: str) -> str:
    """Return ``program_artifact_path``, the name that the HTTP contract gives to the published folder."""
    return f"artifacts/{job_id}"
