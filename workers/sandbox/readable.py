"""What a confined runner may read: the interpreter and its libraries, and never the folder that our code stands in.

Our own modules and the operator's are imported before confinement, so that a checkout with its settings beside it need
not be readable.
"""

import os
import stat
import sys
import sysconfig
from pathlib import Path
from typing import Final

SYSTEM: Final = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
DEVICES: Final = ("/dev/null", "/dev/urandom")
OWN: Final = tuple(f"/proc/self/{name}" for name in ("status", "stat", "statm", "maps", "fd"))
"""Of ``/proc/self`` only these: its ``net``, ``environ`` and ``mountinfo`` tell about the machine."""

_LIBRARY_FOLDERS: Final = ("site-packages", "dist-packages")


def readable_paths() -> list[str]:
    """Return the whole list for a runner of this interpreter; some may not exist."""
    return [*interpreter_paths(), *SYSTEM, *DEVICES, *OWN]


def interpreter_paths() -> list[str]:
    """Return the folders of the standard library, of installed packages and of the interpreter's shared libraries."""
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    libraries = str(sysconfig.get_config_var("LIBDIR") or "")
    if Path(libraries).is_relative_to(sys.base_prefix):  # elsewhere: where the interpreter stood when it was built
        folders.append(libraries)
    folders += [path for path in sys.path if Path(path).name in _LIBRARY_FOLDERS]
    found = [path for path in folders if path and os.path.isdir(path)]  # noqa: PTH112  # Path raises where we may not look
    return list(dict.fromkeys(str(Path(path).resolve()) for path in found))


def only_root_may_enter() -> bool:
    """Whether an ordinary user cannot reach one of the interpreter's folders: it is below somebody's private one."""
    for path in interpreter_paths():
        for folder in (Path(path), *Path(path).parents):
            if not stat.S_IMODE(os.stat(folder).st_mode) & stat.S_IXOTH:  # noqa: PTH116  # Path is no shorter
                return True
    return False
