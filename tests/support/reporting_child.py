"""A child that confines itself and prints what it can see; started like a runner."""

import errno
import json
import os
import sys
import tempfile
from pathlib import Path

from workers.sandbox.confine import harden
from workers.sandbox.plan import Plan


def _try_to_write(folder: str) -> str:
    path = Path(folder) / f"confined-{os.getpid()}"
    try:
        path.write_bytes(b"x")
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        path.unlink(missing_ok=True)
    return "written"


def _try_to_allocate() -> str:
    try:
        return f"{len(bytearray(5 << 30))} bytes"
    except MemoryError:
        return "MemoryError"


def _open_descriptors() -> list[int]:
    found = []
    for descriptor in range(256):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return found


if __name__ == "__main__":
    seen = {
        "environ": dict(os.environ),
        "argv": sys.argv[1:],
        "cwd": str(Path.cwd()),
        "pid": os.getpid(),
        "session": os.getsid(0),
        "open_descriptors": _open_descriptors(),
        "no_user_site": sys.flags.no_user_site == 1,
        "safe_path": sys.flags.safe_path,
        "hash_seed": os.environ.get("PYTHONHASHSEED"),
    }
    writable = tempfile.gettempdir()  # found by writing to it, so before
    seen["applied"] = harden(Plan.from_json(sys.argv[2]))
    seen["written_file"] = _try_to_write(writable)
    seen["largest_allocation"] = _try_to_allocate() if sys.platform == "linux" else "not tried"
    print(json.dumps(seen))  # noqa: T201  # how the test reads it
