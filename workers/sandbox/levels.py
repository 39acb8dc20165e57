"""Finds, by doing it in a child process, the strongest confinement that this machine offers."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Final, get_args

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.workers import SandboxLevel
from workers.sandbox.confine import Applied, confine
from workers.sandbox.launch import child_environment, own_import_paths

_PROBE_SECONDS: Final = 20.0
LEVELS: Final[tuple[SandboxLevel, ...]] = get_args(SandboxLevel)
"""Weakest first."""


def best_level(*, minimum: SandboxLevel, environ: Mapping[str, str]) -> SandboxLevel:
    """Return the strongest level that can really be applied here.

    Raises:
        ConfigurationError: nothing at or above ``minimum`` can be applied; says what was tried.
    """
    reasons = []
    for level in reversed(LEVELS[LEVELS.index(minimum) :]):
        reason = probe(level, environ=environ)
        if reason is None:
            return level
        reasons.append(f"{level}: {reason}")
    message = f"Submitted code cannot be confined at level {minimum} on this machine ({'; '.join(reasons)})."
    raise ConfigurationError(message)


def probe(level: SandboxLevel, *, environ: Mapping[str, str]) -> str | None:
    """Apply ``level`` in a short-lived child; None when it holds, else the reason why not."""
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-s", "-P", "-B", "-m", __spec__.name, level],
            env=child_environment(environ, own_import_paths()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
            cwd="/",
            text=True,
        )
    except subprocess.TimeoutExpired:
        return f"the probe did not end within {_PROBE_SECONDS:g} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"the probe ended with exit code {done.returncode}"])[-1]


def holds(level: SandboxLevel, applied: Applied) -> bool:
    """Whether a runner's report of what it applied is what ``level`` means here."""
    if applied.get("level") != level or applied.get("fsize") != 0 or applied.get("core") != 0:
        return False
    return sys.platform != "linux" or (applied.get("no_new_privs") is True and applied.get("dumpable") == 0)


def _main() -> None:
    level: SandboxLevel = next(known for known in LEVELS if known == sys.argv[1])
    try:
        applied = confine(level)
    except (ConfigurationError, OSError, ValueError) as error:
        sys.exit(str(error))
    if not holds(level, applied):
        sys.exit(f"only this could be applied: {json.dumps(applied)}")


if __name__ == "__main__":
    _main()
