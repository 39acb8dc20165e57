"""A child of the platform: its words are passed on, its death noticed, its relatives ended."""

import os
import signal
import sys
import time

import pytest

from dspy_service.up import child as child_module
from dspy_service.up.child import Child
from tests.support.processes import is_alive, wait_until

STUBBORN_FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
relative = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(relative.pid, flush=True)
time.sleep(600)
"""


class Console:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


def make(code: str, console: Console, **environment: str) -> Child:
    return Child("part", [sys.executable, "-c", code], {**os.environ, **environment}, write=console.write)


def test_its_lines_are_passed_on_under_its_name() -> None:
    console = Console()
    child = make("print('one'); print('two')", console)

    child.start()
    wait_until(lambda: not child.running)
    child.stop(1)

    assert console.lines == ["part   │ one", "part   │ two"]
    assert child.last_words == "two"
    assert child.returncode == 0


def test_it_sees_the_environment_that_it_was_given() -> None:
    console = Console()
    child = make("import os; print(os.environ['GIVEN'])", console, GIVEN="yes")

    child.start()
    wait_until(lambda: not child.running)
    child.stop(1)

    assert child.last_words == "yes"


def test_stopping_ends_also_what_ignores_the_request_and_what_it_started() -> None:
    console = Console()
    child = make(STUBBORN_FAMILY, console)
    child.start()
    wait_until(lambda: bool(console.lines))
    relative = int(console.lines[0].split()[-1])

    child.stop(0.2)

    assert not child.running
    wait_until(lambda: not is_alive(relative))
    assert console.lines[-1] == "part did not stop within 0 s and was killed."


def test_a_dead_child_is_started_again_only_after_its_pause() -> None:
    console = Console()
    child = make("import time; time.sleep(600)", console)
    child.start()
    first = child.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not child.running)

    at_once = child.revive_when_due()
    revived_at_once = child.running
    time.sleep(child_module.FIRST_BACKOFF_SECONDS)  # the pause itself is what is tested
    later = child.revive_when_due()

    assert (at_once, revived_at_once) == (True, False)
    assert (later, child.running) == (True, True)
    assert child.pid != first
    assert "part ended with code -9; starting it again." in console.lines
    child.stop(5)


def test_a_child_that_always_dies_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "FIRST_BACKOFF_SECONDS", 0.0)
    console = Console()
    child = make("raise SystemExit('my last words')", console)
    child.start()

    def given_up() -> bool:
        return not child.running and not child.revive_when_due()

    wait_until(given_up)

    assert child.returncode == 1
    assert child.last_words == "my last words"
    assert len([line for line in console.lines if "│ my last words" in line]) == child_module.MAX_STARTS_IN_A_ROW
    child.stop(1)
