"""Finds, by doing it in a child process, the strongest confinement that this machine offers."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.workers import SandboxLevel
from workers.sandbox import landlock, seccomp
from workers.sandbox.confine import Applied, confine, harden
from workers.sandbox.identity import CAP_DAC_READ_SEARCH, what_root_lacks
from workers.sandbox.launch import child_environment, interpreter_command, own_import_paths
from workers.sandbox.plan import Plan, plan
from workers.sandbox.syscall_table import machine
from workers.sandbox.verify import ATTEMPTS

_PROBE_SECONDS: Final = 20.0
_FILTER_MODE: Final = 2
_MOST_DESCRIPTORS: Final = 4  # standard input, output and error, and the socket
LEVELS: Final[tuple[SandboxLevel, ...]] = get_args(SandboxLevel)
"""Weakest first."""


@dataclass(frozen=True)
class Offer:
    """What this machine offers."""

    level: SandboxLevel
    """The strongest that was really applied in a child."""
    missing: tuple[str, ...] = ()
    """What keeps it from the next one, as sentences."""

    def below(self, minimum: SandboxLevel) -> str | None:
        """Say why a worker may not run submitted code here; None: it may."""
        if LEVELS.index(self.level) >= LEVELS.index(minimum):
            return None
        return (
            f"Submitted code cannot be confined at level {minimum} here, only at {self.level}. "
            f"{' '.join(self.missing)} Run the worker where {minimum} is available, or accept less for code that you "
            f"trust with DSPY_SERVICE_SANDBOX_MIN_LEVEL={self.level}."
        )

    @property
    def warning(self) -> str | None:
        """Say what a worker that runs submitted code at this level should not be used for; None: nothing to say."""
        if self.level != LEVELS[0]:
            return None
        return (
            f"Submitted code runs at sandbox level {self.level}: it can read this user's files and reach the network. "
            f"Take jobs only from people you trust. {' '.join(self.missing)}"
        )


def best_level(*, environ: Mapping[str, str]) -> Offer:
    """Return the strongest level that can really be applied here, and what a stronger one lacks.

    Raises:
        ConfigurationError: not even the weakest can be applied.
    """
    missing: tuple[str, ...] = ()
    for level in reversed(LEVELS):
        lacking = probe(level, environ=environ)
        if not lacking:
            return Offer(level, missing)
        missing = lacking
    raise ConfigurationError(f"Submitted code cannot be confined on this machine. {' '.join(missing)}")


def probe(level: SandboxLevel, *, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Apply ``level`` in a short-lived child; return what is missing, which is nothing when it holds."""
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module
            [*interpreter_command(__spec__.name), plan(level).to_json()],
            env=child_environment(environ, own_import_paths()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
            cwd="/",
            text=True,
        )
    except subprocess.TimeoutExpired:
        return (f"The probe of level {level} did not end within {_PROBE_SECONDS:g} s.",)
    if done.returncode == 0:
        return _judged(level, json.loads(done.stdout))
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return (f"The probe of level {level} ended with exit code {done.returncode}: {last}",)


def _judged(level: SandboxLevel, told: dict[str, Any]) -> tuple[str, ...]:
    """Compare what the child applied with the plan here: inside, it cannot see any more what this process is."""
    if told["missing"]:
        return tuple(told["missing"])
    short = shortfalls(level, told["applied"])
    return (f"These did not come out as planned: {', '.join(short)}.",) if short else ()


def holds(level: SandboxLevel, applied: Applied) -> bool:
    """Whether a runner's report of what it applied is what ``level`` means for a child of this process."""
    return not shortfalls(level, applied)


def shortfalls(level: SandboxLevel, applied: Applied) -> list[str]:
    """Return the names of what a report lacks."""
    expected: Applied = {"level": level, "fsize": 0, "core": 0}
    if sys.platform == "linux":
        expected |= {"no_new_privs": True, "dumpable": 0}
    found = [name for name, value in expected.items() if applied.get(name) != value]
    return found + (_shortfalls_of_l2(applied) if level == "L2" else [])


def _shortfalls_of_l2(applied: Applied) -> list[str]:
    users = set(str(applied.get("uids", "0")).split())
    allowed_capabilities = 1 << CAP_DAC_READ_SEARCH if os.geteuid() == 0 else 0
    capabilities = [applied.get(name) for name in ("cap_eff", "cap_prm", "cap_inh")]
    descriptors = str(applied.get("descriptors", "")).split()
    checks = {
        "landlock_abi": applied.get("landlock_abi") == landlock.abi() > 0,
        "seccomp": applied.get("seccomp") == _FILTER_MODE,
        "uids": _are_ordinary(users),
        "capabilities": all(isinstance(held, int) and held & ~allowed_capabilities == 0 for held in capabilities),
        "threads": applied.get("threads") == 1,
        "descriptors": descriptors[:3] == ["0", "1", "2"] and len(descriptors) <= _MOST_DESCRIPTORS,
        "refused": set(str(applied.get("refused", "")).split()) == set(ATTEMPTS),
    }
    return [name for name, is_right in checks.items() if not is_right]


def _are_ordinary(users: set[str]) -> bool:
    """Whether these are who a child of this process should be."""
    if os.geteuid() != 0:
        return users == {str(os.geteuid())}
    return bool(users) and all(user.isdecimal() and int(user) > 0 for user in users)


def _lacking(wanted: Plan) -> list[str]:
    """Say what L2 needs and this machine does not have."""
    if sys.platform != "linux":
        return ["Landlock and seccomp exist on Linux only."]
    try:
        machine()
    except ConfigurationError as error:
        return [str(error)]
    found = []
    if not landlock.abi():
        found.append("The kernel offers no Landlock (Linux 5.13 or newer, with `landlock` among its LSMs).")
    if not seccomp.is_available():
        found.append("The kernel offers no seccomp filters to this process.")
    if wanted.drop is not None and (lack := what_root_lacks(wanted.drop)):
        found.append(lack)
    return found


def _try(wanted: Plan) -> dict[str, Any]:
    """Apply the plan to this process; return what is missing, as sentences, and what was applied."""
    if wanted.level == "L2" and (lacking := _lacking(wanted)):
        return {"missing": lacking, "applied": {}}
    try:
        return {"missing": [], "applied": confine(wanted, harden(wanted))}
    except (ConfigurationError, OSError, ValueError) as error:
        return {"missing": [str(error)], "applied": {}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_try(Plan.from_json(sys.argv[1]))))
