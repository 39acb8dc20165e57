"""Where a worker may run: as which user, and under which restrictions of its surroundings."""

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.integration.containment.canaries import SECRET

ROOT = Path(__file__).resolve().parents[3]
ORDINARY_USER = 10001
DRIVER = ["-m", "tests.integration.containment.driver"]


@dataclass(frozen=True)
class Place:
    """One way to run the worker's side."""

    name: str
    user: int | None = None
    """None: whoever runs the tests."""
    container: str | None = None
    """The kind of container that is emulated around it."""

    def why_not(self) -> str | None:
        """Say why it cannot be had here; None: it can."""
        if sys.platform != "linux":
            return "only Linux has Landlock and seccomp"
        if self.user is None:
            return None
        if os.geteuid() != 0:
            return "only root can start a process as another user"
        closed = [path for path in (ROOT, Path(tempfile.gettempdir())) if not _is_open(path)]
        return f"an ordinary user cannot enter {closed[0]}" if closed else None

    def ask(self, order: dict[str, Any], *, before: list[str] | None = None, seconds: float = 60) -> dict[str, Any]:
        """Run the driver there and return its answer.

        Args:
            order: For the driver.
            before: A command that the driver's command is appended to.
            seconds: How long it may take.
        """
        with interpreter(self.user) as (python, environment):
            command = [*(before or []), python, *DRIVER]
            identity: dict[str, Any] = {}
            if self.container is not None:
                emulation = [sys.executable, "-m", "tests.integration.containment.emulation", self.container]
                command = [*emulation, str(self.user), *command]
            elif self.user is not None:
                identity = {"user": self.user, "group": self.user, "extra_groups": []}
            done = subprocess.run(  # noqa: S603  # our own module
                command,
                input=json.dumps(order),
                env=environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                **identity,
            )
        assert done.returncode == 0, done.stderr[-4000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


HERE = Place("as this user")
ORDINARY = Place("as an ordinary user", user=ORDINARY_USER) if os.geteuid() == 0 else HERE
PLACES = (
    HERE,
    *([ORDINARY] if ORDINARY is not HERE else []),
    Place("root in a default container", user=0, container="default"),
    Place("an ordinary user in a default container", user=ORDINARY_USER, container="default"),
    Place("an ordinary user in a hardened container", user=ORDINARY_USER, container="hardened"),
)


def require(place: Place) -> None:
    """Skip, with the reason, where a place cannot be had."""
    if reason := place.why_not():
        pytest.skip(f"{place.name}: {reason}")


@contextlib.contextmanager
def interpreter(user: int | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a Python that this user can start, and the driver's environment with a provider key in it."""
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_KEY": "".join(SECRET),
        "PATH": os.defpath,
    }
    if user is None or _is_open(Path(sys.base_prefix)):
        yield sys.executable, environment
        return
    with tempfile.TemporaryDirectory(prefix="containment-python-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _linked(Path(sys.base_prefix), folder)
        packages = [path for path in sys.path if Path(path).name == "site-packages"]
        environment["PYTHONPATH"] = os.pathsep.join([*packages, str(ROOT)])
        environment["LD_LIBRARY_PATH"] = str(folder / "lib")
        yield str(folder / "bin" / "python3"), environment


def _linked(prefix: Path, folder: Path) -> None:
    """Make another name for each file of an interpreter; the folder above the first names may be private."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "bin").mkdir()
    (folder / "lib").mkdir()
    _second_name(str(prefix / "bin" / version), str(folder / "bin" / "python3"))
    for library in (prefix / "lib").glob("libpython*.so*"):
        _second_name(str(library.resolve()), str(folder / "lib" / library.name))
    without = shutil.ignore_patterns("site-packages", "test", "config-*", "idlelib", "ensurepip")
    shutil.copytree(prefix / "lib" / version, folder / "lib" / version, ignore=without, copy_function=_second_name)


def _second_name(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@cache
def _is_open(path: Path) -> bool:
    return all(stat.S_IMODE(folder.stat().st_mode) & stat.S_IXOTH for folder in (path, *path.parents))
