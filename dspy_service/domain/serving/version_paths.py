"""Where a version's own files stand in the artifact store.

::

    programs/<tenant>/<name>/<digest>/…   program.json, metadata.json and the manifest that signs them; program.pkl
                                          too where only code can be the program
"""

import re

PROGRAMS = "programs"

_FILE = re.compile(r"programs/([^/]+)/([^/]+)/([0-9a-f]{64})/[^/]+")


def version_folder(tenant: str, program: str, digest: str) -> str:
    """Return the folder of a version; equal versions of one program share it."""
    return f"{PROGRAMS}/{tenant}/{program}/{digest}"


def version_of_file(path: str) -> tuple[str, str, str] | None:
    """Return tenant, program and digest of the versions that a file belongs to; None for a file of another kind."""
    found = _FILE.fullmatch(path)
    return None if found is None else (found[1], found[2], found[3])
