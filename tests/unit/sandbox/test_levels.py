"""What a report must hold, and what is said about a machine that offers too little."""

import os
import sys
from typing import Any

import pytest

from workers.sandbox import landlock
from workers.sandbox.levels import Offer, best_level, holds, shortfalls
from workers.sandbox.plan import Plan, plan
from workers.sandbox.rlimits import ProcessLimits
from workers.sandbox.verify import ATTEMPTS

L1 = {"level": "L1", "fsize": 0, "core": 0, "no_new_privs": True, "dumpable": 0}
USERS = " ".join([str(os.geteuid() or 61184)] * 4)
L2 = {
    **L1,
    "level": "L2",
    "landlock_abi": landlock.abi() if sys.platform == "linux" else 0,
    "seccomp": 2,
    "threads": 1,
    "uids": USERS,
    "cap_eff": 0,
    "cap_prm": 0,
    "cap_inh": 0,
    "descriptors": "0 1 2 5",
    "refused": " ".join(ATTEMPTS),
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has Landlock and seccomp")
with_landlock = pytest.mark.skipif(not L2["landlock_abi"], reason="this kernel has no Landlock")


def test_the_level_is_found_by_doing_it() -> None:
    offer = best_level(environ=os.environ)

    assert offer.level in {"L1", "L2"}
    assert bool(offer.missing) == (offer.level == "L1")


@pytest.mark.parametrize(
    "broken", [{"level": "L2"}, {"fsize": 1}, {"core": 10}, {"no_new_privs": False}, {"dumpable": 1}]
)
def test_a_report_that_lacks_something_does_not_hold(broken: dict[str, object]) -> None:
    assert holds("L1", L1)
    if sys.platform == "linux" or not {"no_new_privs", "dumpable"} & broken.keys():
        assert not holds("L1", {**L1, **broken})


@with_landlock
def test_a_whole_report_of_level_two_holds() -> None:
    assert shortfalls("L2", L2) == []


@with_landlock
@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"landlock_abi": 0}, "landlock_abi"),
        ({"seccomp": 0}, "seccomp"),
        ({"seccomp": 1}, "seccomp"),
        ({"uids": "0 0 0 0"}, "uids"),
        ({"uids": "61184 61184 0 61184"}, "uids"),
        ({"uids": ""}, "uids"),
        ({"uids": "nobody"}, "uids"),
        ({"cap_eff": 1 << 21}, "capabilities"),
        ({"cap_prm": 2}, "capabilities"),
        ({"cap_inh": "0"}, "capabilities"),
        ({"threads": 2}, "threads"),
        ({"descriptors": "0 1 2 5 6"}, "descriptors"),
        ({"descriptors": "0 1"}, "descriptors"),
        ({"refused": "read write"}, "refused"),
        ({"no_new_privs": False}, "no_new_privs"),
    ],
)
def test_a_report_of_level_two_that_lacks_something_names_it(broken: dict[str, Any], named: str) -> None:
    assert shortfalls("L2", {**L2, **broken}) == [named]


@with_landlock
@pytest.mark.parametrize("name", sorted(L2.keys() - {"level"}))
def test_nothing_of_a_report_may_be_left_out(name: str) -> None:
    assert not holds("L2", {key: value for key, value in L2.items() if key != name})


def test_a_report_of_level_one_is_none_of_level_two() -> None:
    assert not holds("L2", {**L1, "level": "L2"})


def test_what_is_missing_is_said_to_who_asked_for_more() -> None:
    offer = Offer("L1", ("The kernel offers no Landlock.",))

    refusal = offer.below("L2")

    assert refusal is not None
    assert "cannot be confined at level L2 here, only at L1. The kernel offers no Landlock." in refusal
    assert "DSPY_SERVICE_SANDBOX_MIN_LEVEL=L1" in refusal
    assert offer.below("L1") is None


def test_only_the_weakest_level_is_warned_about() -> None:
    assert Offer("L2").warning is None
    assert "only from people you trust" in (Offer("L1").warning or "")


@on_linux
def test_a_plan_survives_the_command_line() -> None:
    made = plan("L2", factories=["shop.Router"], limits=ProcessLimits(memory_bytes=1 << 30, threads=7, cpu_seconds=9))

    assert Plan.from_json(made.to_json()) == made


@on_linux
def test_a_plan_drops_root_and_nobody_else() -> None:
    assert (plan("L2").drop is not None) == (os.geteuid() == 0)
    assert plan("L1").drop is None
    assert plan("L1").readable == ()
