"""Questions about processes that a test started."""

import os
import time
from collections.abc import Callable
from pathlib import Path

POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for a condition, and fail when it does not come about in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(POLL_SECONDS)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie whose parent has not looked yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return state_of(pid) not in {"Z", ""} or not Path("/proc/self/stat").exists()


def state_of(pid: int) -> str:
    """Return the letter of a process's state on Linux: ``T`` when it was stopped; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(pid: int) -> set[int]:
    """Return every process below ``pid``, as the kernel lists them now (Linux)."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _children(task):
            found |= {child} | descendants(child)
    return found


def _children(task: Path) -> list[int]:
    try:
        return [int(child) for child in task.read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):  # the thread has ended since it was listed
        return []
