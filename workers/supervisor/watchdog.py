"""Looks ten times a second at what a runner uses, and says which limit it has passed."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.supervisor.ending import Ending, limit_ending
from workers.supervisor.limits import SupervisionLimits

if sys.platform == "linux":
    import resource

_log: Final = logging.getLogger(__name__)

SAMPLE_SECONDS: Final = 0.1
_MAX_STEP_SECONDS: Final = 1.0  # of idleness per look: a worker that was stopped for a minute has seen nothing of it
_MIB: Final = 1 << 20
_BEYOND_RESIDENT_BYTES: Final = 2 << 30  # address space that is mapped and not used: libraries, stacks of 8 MiB each
_CPU_SLACK_SECONDS: Final = 5  # the kernel's own limit strikes only when ours has failed


@dataclass(frozen=True)
class Sample:
    """What the kernel says about a process: since its start, and now."""

    cpu_seconds: float
    memory_bytes: int
    threads: int


def sample(pid: int) -> Sample | None:
    """Return what a process uses; None when it is gone, or where there is no /proc (macOS).

    Its children are not counted: where code is confined it can have none.
    """
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = line.rpartition(b")")[2].split()  # the name before it may hold anything; what follows is proc(5) from 3 on
    return Sample(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        memory_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        threads=int(fields[17]),
    )


def set_kernel_limits(pid: int, limits: SupervisionLimits) -> None:
    """Let the kernel refuse what would outrun the watchdog: address space at once, CPU time a little after us.

    A limit is only ever lowered: the runner has set its own for good. A worker that may not do this to another user's
    process (root without CAP_SYS_RESOURCE) leaves those, and the watchdog.
    """
    if sys.platform != "linux":
        return
    seen = sample(pid)
    spent = seen.cpu_seconds if seen is not None else 0.0
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes + _BEYOND_RESIDENT_BYTES,
        resource.RLIMIT_CPU: int(spent + limits.cpu_seconds) + _CPU_SLACK_SECONDS,
    }
    with contextlib.suppress(ProcessLookupError):  # it has ended; its session finds that out
        for kind, value in wanted.items():
            try:
                _, hard = resource.prlimit(pid, kind)
                most = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.prlimit(pid, kind, (most, most))
            except PermissionError:
                _log.info("The kernel's limits of runner %d stay as it set them itself.", pid)


class Watchdog:
    """Of one job in one runner.

    Args:
        pid: The runner.
        limits: What it may use.
        is_waiting: Whether the runner waits for an answer, or for us to read; it cannot make progress then.
    """

    def __init__(self, pid: int, limits: SupervisionLimits, is_waiting: Callable[[], bool]) -> None:
        self._pid = pid
        self._limits = limits
        self._is_waiting = is_waiting
        self._idle_seconds = 0.0

    def note_progress(self) -> None:
        """Count idleness from now on."""
        self._idle_seconds = 0.0

    async def run(self) -> Ending:
        """Return once a limit is passed."""
        loop = asyncio.get_running_loop()
        first = sample(self._pid)
        spent_before = first.cpu_seconds if first is not None else 0.0
        looked_at = loop.time()
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            now = loop.time()
            self._idle_seconds += min(now - looked_at, _MAX_STEP_SECONDS)
            looked_at = now
            if self._is_waiting():
                self._idle_seconds = 0.0
            ending = self._passed(sample(self._pid), spent_before)
            if ending is not None:
                return ending

    def _passed(self, seen: Sample | None, spent_before: float) -> Ending | None:
        limits = self._limits
        if seen is not None and seen.memory_bytes > limits.memory_bytes:
            return limit_ending("out_of_memory", starved(limits)["out_of_memory"])
        if seen is not None and seen.threads > limits.threads:
            return limit_ending("too_many_threads", starved(limits)["too_many_threads"])
        if seen is not None and seen.cpu_seconds - spent_before > limits.cpu_seconds:
            message = f"The job used more CPU time than the {limits.cpu_seconds:g} s that it may."
            return limit_ending("cpu_limit", message, reason="time_limit")
        if self._idle_seconds > limits.stall_seconds:
            message = f"The job made no progress and no model call for {limits.stall_seconds:g} s."
            return limit_ending("stalled", message, reason="stalled")
        return None


def starved(limits: SupervisionLimits) -> Mapping[str, str]:
    """Say by kind of failure what a job needs too much of; where the kernel refuses it first, its runner says so."""
    return {
        "out_of_memory": f"The job needs more memory than the {limits.memory_bytes / _MIB:g} MiB that it may use.",
        "too_many_threads": f"The job needs more threads than the {limits.threads} that it may have.",
    }
