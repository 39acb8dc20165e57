"""Which names an artifact store accepts: relative, slash-separated, made of plain characters."""

import re

MAX_PATH_LENGTH = 512

_SAFE_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\Z")  # no empty part, no dot first, so no `..`


def is_safe(path: str) -> bool:
    """Whether ``path`` stays inside the store on every backend."""
    return len(path) <= MAX_PATH_LENGTH and all(_SAFE_PART.match(part) for part in path.split("/"))


def require_safe(path: str) -> str:
    """Return ``path``; names are made by the service, so an unsafe one is our own fault.

    Raises:
        ValueError: when the path is absolute, climbs, hides or holds odd characters.
    """
    if not is_safe(path):
        message = f"{path!r} is not a relative path of plain names"
        raise ValueError(message)
    return path
