"""Where things stand in the artifact store: every path in one place.

::

    datasets/<sha256>.json      the rows of a job, content-addressed, shared by equal submissions
    <job_id>/<fence>/…          what one attempt wrote; private until its fenced finish
    <job_id>/…                  what the finish published
"""

PROGRAM_PICKLE = "program.pkl"
METADATA = "metadata.json"
PROGRAM_STATE = "program.json"
RESULT = "result.json"
EVENTS = "events.jsonl"

PUBLIC_FILES = (PROGRAM_PICKLE, METADATA, PROGRAM_STATE, RESULT, EVENTS)
"""The names that a client may download; anything else is not found."""


def dataset_path(sha256: str) -> str:
    """Return where the rows with this digest stand."""
    return f"datasets/{sha256}.json"


def attempt_folder(job_id: str, fence: int) -> str:
    """Return the folder that only the holder of ``fence`` writes."""
    return f"{job_id}/{fence}"


def published_folder(job_id: str) -> str:
    """Return the folder that readers see once the job has ended."""
    return job_id


def file_in(folder: str, name: str) -> str:
    """Return the path of one file of a folder."""
    return f"{folder}/{name}"


def public_artifact_path(job_id: str) -> str:
    """Return ``program_artifact_path``, the name that the HTTP contract gives to the published folder."""
    return f"artifacts/{job_id}"
