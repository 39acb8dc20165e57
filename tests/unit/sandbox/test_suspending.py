"""Runners that stand still, and signals that are not meant for them."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.processes import is_alive, wait_until
from workers.sandbox.confine import harden
from workers.sandbox.launch import Child, launch
from workers.sandbox.plan import Plan

_needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states stand in /proc")


def _stands_still(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"


def _forked() -> tuple[Child, int]:
    child = launch("L1", environ=os.environ, module="tests.support.forking_child")
    assert child.process.stdout is not None
    return child, int(child.process.stdout.readline())


@_needs_proc
def test_the_whole_group_stands_still_and_goes_on() -> None:
    child, grandchild = _forked()
    try:
        child.suspend()
        wait_until(lambda: _stands_still(child.pid) and _stands_still(grandchild))
        lived = child.is_alive()

        child.resume()
        wait_until(lambda: not _stands_still(child.pid) and not _stands_still(grandchild))
    finally:
        child.kill()

    assert lived


@_needs_proc
def test_a_child_that_stands_still_can_be_killed() -> None:
    child, grandchild = _forked()
    child.suspend()
    wait_until(lambda: _stands_still(child.pid))

    code = child.kill()

    assert code == -signal.SIGKILL
    wait_until(lambda: not is_alive(grandchild), seconds=5)


@_needs_proc
def test_a_child_that_is_killed_by_another_while_it_stands_still_is_seen_to_have_ended() -> None:
    child, _ = _forked()
    child.suspend()
    wait_until(lambda: _stands_still(child.pid))

    os.kill(child.pid, signal.SIGKILL)

    wait_until(lambda: not child.is_alive(), seconds=2)
    child.suspend()
    child.resume()
    assert child.kill() == -signal.SIGKILL


def test_an_ended_child_is_not_signalled() -> None:
    child, _ = _forked()
    child.kill()

    child.suspend()
    child.resume()

    assert not child.is_alive()


def test_a_runner_outlives_a_sigterm_that_is_meant_for_its_worker() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            harden(Plan("L1", parent_pid=os.getppid()))
            os.kill(os.getpid(), signal.SIGTERM)
            os.write(write, b"still here")
        finally:
            os._exit(0)
    os.close(write)

    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert os.read(read, 100) == b"still here"
    os.close(read)
