"""Where a version's own files stand in the artifact store.

::

    programs/<tenant>/<name>/<digest>/…   program.json, metadata.json and the manifest that signs both
"""

PROGRAMS = "programs"


def version_folder(tenant: str, program: str, digest: str) -> str:
    """Return the folder of a version; equal versions of one program share it."""
    return f"{PROGRAMS}/{tenant}/{program}/{digest}"
