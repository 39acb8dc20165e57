"""No attack succeeds at L2, wherever the worker runs; at L1 many do, which proves that they are attacks."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dspy_service.domain.workers import SandboxLevel
from tests.integration.containment.canaries import Canaries, canaries
from tests.integration.containment.places import ORDINARY, PLACES, Place, require

PARTS = ["prelude", "on_data", "on_kernel", "report"]
REFUSALS = {"EPERM", "EACCES", "ENOSYS"}
OTHER_REFUSALS = {"thread bomb": {"EAGAIN"}}
FEWEST_ATTACKS = 90
SHARED_FOLDERS = (Path("/dev/shm"), Path(tempfile.gettempdir()))  # noqa: S108  # what attacks try to write in

WORK_AT_L1 = {
    *("environment of the worker", "environment of another process", "command line of another process"),
    *("artifact of another job", "settings file", "source of the service", "users of the machine", "list the root"),
    *("list the home", "list the processes", "connections of the machine", "around by /proc/self/root"),
    *("around by a path descriptor", "TCP", "UDP", "abstract socket", "socket in a folder"),
    *("datagram to an abstract socket", "datagram to a socket in a folder", "listen"),
    *("fork", "shell", "program", "spawn", "program in memory"),
    *("write in the temporary folder", "write in an open folder", "write to a device", "truncate", "rename"),
    *("make a folder", "plant a symlink", "plant a FIFO", "signal the worker", "signal another process"),
    *("signal by tgkill", "signal by tkill", "signal by a descriptor's owner", "signal by ioctl", "personality"),
    *("watch files", "undo the hiding", "outlive the worker", "limit of another process", "priority"),
}
"""Where nothing but an ordinary user's own rights are in the way."""


@dataclass(frozen=True)
class Raid:
    """All attacks of one run, and what they left behind."""

    answer: dict[str, Any]
    seen: tuple[str, ...]
    before: dict[str, bytes]
    after: dict[str, bytes]

    def named(self, kind: str) -> dict[str, str]:
        """Return the attacks with one outcome, and the detail."""
        return {title: detail[0] for title, found, *detail in self.answer["outcomes"] if found == kind}


@cache
def raid(place: Place, level: SandboxLevel) -> Raid:
    """Run every attack once for all tests that look at it."""
    with _put_up() as put_up:
        before = put_up.files()
        answer = place.ask({"level": level, "facts": put_up.facts, "parts": PARTS})
        return Raid(answer, tuple(put_up.seen), before, put_up.files())


@contextlib.contextmanager
def _put_up() -> Iterator[Canaries]:
    with tempfile.TemporaryDirectory(prefix="containment-") as name:
        Path(name).chmod(0o755)
        with canaries(Path(name)) as put_up:
            yield put_up


@pytest.fixture(params=PLACES, ids=lambda place: place.name.replace(" ", "_"))
def place(request: pytest.FixtureRequest) -> Place:
    require(request.param)
    return request.param


def test_the_kernel_refuses_every_attack_at_level_two(place: Place) -> None:
    found = raid(place, "L2")

    refused = found.named("refused")
    assert found.named("escaped") == {}
    assert found.named("broken") == {}
    assert len(refused) >= FEWEST_ATTACKS
    assert {
        name: error for name, error in refused.items() if error not in REFUSALS | OTHER_REFUSALS.get(name, set())
    } == {}


def test_nothing_was_reached_or_changed(place: Place) -> None:
    found = raid(place, "L2")

    assert found.seen == ()
    assert found.after == found.before
    assert found.answer["victim_lives"]
    assert [path for folder in SHARED_FOLDERS for path in folder.glob("containment-canary*")] == []


def test_the_runner_says_what_it_applied_and_its_supervisor_agrees(place: Place) -> None:
    found = raid(place, "L2")

    applied = found.answer["applied"]
    users = set(applied["uids"].split())
    assert found.answer["short"] == []
    assert applied["cap_eff"] & ~4 == 0
    assert users == {str(place.user)} if place.user else "0" not in users


def test_the_job_goes_on_to_its_end_after_all_that_was_refused(place: Place) -> None:
    found = raid(place, "L2")

    assert (found.answer["failure"], found.answer["ended_with"]) == (None, 0)


def test_a_runner_of_its_own_user_has_an_exact_limit_of_threads() -> None:
    place = next(each for each in PLACES if each.user == 0)
    require(place)

    stopped = {title: detail[1] for title, _, *detail in raid(place, "L2").answer["outcomes"]}["thread bomb"]

    assert int(stopped.rpartition(" ")[2]) < 512


def test_level_one_stops_none_of_these() -> None:
    require(ORDINARY)

    found = raid(ORDINARY, "L1")

    assert WORK_AT_L1 - found.named("escaped").keys() == set()
    assert {"tcp", "udp", "abstract", "path_socket", "abstract_datagram", "path_datagram"} <= set(found.seen)


def test_level_one_still_hides_the_keys_and_limits_memory() -> None:
    require(ORDINARY)

    refused = raid(ORDINARY, "L1").named("refused")

    assert {"own environment", "own memory", "memory bomb", "raise the file size", "become root"} <= refused.keys()
