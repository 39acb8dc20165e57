"""What a runner inherits."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import is_alive, wait_until
from workers.sandbox.confine import harden
from workers.sandbox.launch import Child, child_environment, launch, own_import_paths
from workers.sandbox.levels import holds
from workers.sandbox.plan import Plan

_INNOCENT = "tests.support.reporting_child"


def _last_line(child: Child) -> dict[str, Any]:
    output = child.process.stdout.read()
    return json.loads(output.splitlines()[-1])


def test_the_environment_is_an_allow_list() -> None:
    environ = {"OPENAI_API_KEY": "canary", "DSPY_SERVICE_SECRET_KEY": "canary", "LANG": "C.UTF-8", "PATH": "/bin"}

    made = child_environment(environ, ["/a", "/b"])

    assert "canary" not in made.values()
    assert made["LANG"] == "C.UTF-8"
    assert made["PYTHONHASHSEED"] == "0"
    assert made["PYTHONPATH"] == os.pathsep.join(["/a", "/b"])
    assert "PATH" not in made


def test_import_paths_are_absolute_and_hold_our_packages() -> None:
    paths = own_import_paths()

    assert all(Path(path).is_absolute() for path in paths)
    assert (Path(paths[0]) / "workers").is_dir()


def test_a_child_has_no_key_no_terminal_and_one_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "OPENAI_API_KEY", "sk-canary")
    child = launch("L1", environ=os.environ, module=_INNOCENT)
    try:
        report = _last_line(child)
    finally:
        child.kill()

    assert "sk-canary" not in json.dumps(report)
    assert report["cwd"] == "/"
    planned = Plan.from_json(report["argv"][1])
    assert (planned.level, planned.parent_pid) == ("L1", os.getpid())
    assert report["session"] == report["pid"] == child.pid
    assert report["open_descriptors"] == [0, 1, 2, int(report["argv"][0])]
    assert (report["no_user_site"], report["safe_path"], report["hash_seed"]) == (True, True, "0")


def test_level_one_holds_after_confining() -> None:
    child = launch("L1", environ=os.environ, module=_INNOCENT)
    try:
        report = _last_line(child)
    finally:
        child.kill()

    assert holds("L1", report["applied"])
    assert report["written_file"] in {"EFBIG", "EACCES", "EROFS"}
    assert report["largest_allocation"] == "MemoryError" or sys.platform != "linux"


def test_killing_ends_the_whole_group_and_twice_is_harmless() -> None:
    child = launch("L1", environ=os.environ, module="tests.support.forking_child")
    grandchild = int(child.process.stdout.readline())
    assert is_alive(grandchild)

    codes = [child.kill(), child.kill()]

    assert codes == [-signal.SIGKILL, -signal.SIGKILL]
    wait_until(lambda: not is_alive(grandchild), seconds=5)


def test_an_ended_child_is_not_alive_and_keeps_its_code() -> None:
    child = launch("L1", environ=os.environ, module=_INNOCENT)
    child.process.stdout.read()

    wait_until(lambda: not child.is_alive())

    assert child.kill() == 0
    assert not child.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_a_child_whose_parent_is_gone_before_it_looks_ends_at_once() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            harden(Plan("L1", parent_pid=1 + os.getppid()))
        finally:
            os.write(write, b"harden came back")
            os._exit(0)
    os.close(write)

    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == signal.SIGKILL
    assert os.read(read, 100) == b""
    os.close(read)
