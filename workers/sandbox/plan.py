"""What a worker asks a runner to do to itself before it sees any submitted code; travels on the command line."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from dspy_service.domain.workers import SandboxLevel
from workers.sandbox.identity import Drop
from workers.sandbox.readable import only_root_may_enter, readable_paths
from workers.sandbox.rlimits import ProcessLimits


@dataclass(frozen=True)
class Plan:
    """One runner's confinement. It holds no secret: any process of the machine can read a command line."""

    level: SandboxLevel
    parent_pid: int
    readable: tuple[str, ...] = ()
    """Paths that stay readable at L2."""
    drop: Drop | None = None
    """Set where the worker is root and the level is L2."""
    factories: tuple[str, ...] = ()
    """Dotted paths that must be imported first: their modules cannot be read any more afterwards."""
    limits: ProcessLimits = field(default_factory=ProcessLimits)

    def to_json(self) -> str:
        """Return it as one argument."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        return cls(
            level=data["level"],
            parent_pid=data["parent_pid"],
            readable=tuple(data["readable"]),
            drop=Drop(**data["drop"]) if data["drop"] else None,
            factories=tuple(data["factories"]),
            limits=ProcessLimits(**data["limits"]),
        )


def plan(level: SandboxLevel, *, factories: Sequence[str] = (), limits: ProcessLimits | None = None) -> Plan:
    """Return the plan for a child of this process."""
    limits = limits or ProcessLimits()
    if level == "L1" or sys.platform != "linux":
        return Plan(level, os.getpid(), factories=tuple(factories), limits=limits)
    drop = Drop(may_search=only_root_may_enter()) if os.geteuid() == 0 else None
    return Plan(level, os.getpid(), tuple(readable_paths()), drop, tuple(factories), limits)
