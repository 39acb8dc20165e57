"""A worker's parent knows which of its slots have died."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from workers.roster import RUNNER_SECONDS, Roster

pytestmark = pytest.mark.skipif(not hasattr(os, "waitid"), reason="there the death of a slot costs a lease")

REMEMBERED_SECONDS = 10.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def roster(clock: Clock) -> Roster:
    return Roster(remembered_seconds=REMEMBERED_SECONDS, clock=clock)


@pytest.fixture
def start() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Start processes that wait to be killed."""
    children: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        children.append(subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


def kill(child: "subprocess.Popen[bytes]", *, collect: bool) -> None:
    child.kill()
    if collect:
        child.wait()
    else:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


def deaths(roster: Roster, clock: Clock) -> list[str]:
    """Look twice, as long after each other as a runner needs."""
    roster.dead()
    clock.seconds += RUNNER_SECONDS
    return roster.dead()


def test_slots_that_live_are_not_dead(
    roster: Roster, clock: Clock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    for name in ("w/1", "w/2"):
        roster.sign_in(name, pid=start().pid)

    assert deaths(roster, clock) == []


@pytest.mark.parametrize("collect", [True, False], ids=["collected", "zombie"])
def test_a_slot_that_was_killed_is_dead_and_the_others_live(
    roster: Roster, clock: Clock, start: Callable[[], "subprocess.Popen[bytes]"], *, collect: bool
) -> None:
    killed = start()
    roster.sign_in("w/1", pid=killed.pid)
    roster.sign_in("w/2", pid=start().pid)
    assert deaths(roster, clock) == []

    kill(killed, collect=collect)

    assert deaths(roster, clock) == ["w/1"]


def test_looking_leaves_the_exit_code_to_the_pool(
    roster: Roster, clock: Clock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    killed = start()
    roster.sign_in("w/1", pid=killed.pid)
    kill(killed, collect=False)

    deaths(roster, clock)

    assert killed.wait() == -9


def test_a_slot_that_died_before_anybody_looked_is_dead(
    roster: Roster, clock: Clock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    killed = start()
    roster.sign_in("w/1", pid=killed.pid)
    kill(killed, collect=True)

    assert deaths(roster, clock) == ["w/1"]


def test_its_runner_has_time_to_die_first(
    roster: Roster, clock: Clock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    killed = start()
    roster.sign_in("w/1", pid=killed.pid)
    kill(killed, collect=True)

    at_once = roster.dead()
    clock.seconds += RUNNER_SECONDS

    assert (at_once, roster.dead()) == ([], ["w/1"])


def test_a_death_is_told_again_for_one_lease_and_then_forgotten(
    roster: Roster, clock: Clock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    killed = start()
    roster.sign_in("w/1", pid=killed.pid)
    kill(killed, collect=True)
    roster.dead()

    clock.seconds = REMEMBERED_SECONDS
    still = roster.dead()
    clock.seconds = REMEMBERED_SECONDS + 0.1

    assert (still, roster.dead()) == (["w/1"], [])


def test_a_number_that_a_new_slot_got_does_not_bring_the_old_one_back(
    roster: Roster, clock: Clock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    pid = start().pid
    roster.sign_in("w/1", pid=pid)
    roster.sign_in("w/2", pid=pid)

    assert deaths(roster, clock) == ["w/1"]


def test_somebody_elses_process_is_no_slot(roster: Roster, clock: Clock) -> None:
    roster.sign_in("w/1", pid=os.getppid())

    assert deaths(roster, clock) == ["w/1"]


def test_a_slot_that_signs_in_where_nobody_reads_is_not_held_up(roster: Roster) -> None:
    began = time.monotonic()

    for number in range(10_000):
        roster.sign_in(f"w/{number}")

    assert time.monotonic() - began < 5
