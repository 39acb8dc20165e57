"""One runner ahead."""

from tests.support.scripted_child import ScriptedChild, sleep_until_killed
from workers.supervisor.standby import Standby


class Launcher:
    def __init__(self) -> None:
        self.children = []

    def __call__(self) -> ScriptedChild:
        self.children.append(ScriptedChild(sleep_until_killed))
        return self.children[-1]


def test_a_waiting_runner_is_taken_once() -> None:
    launcher = Launcher()
    standby = Standby(launcher)
    standby.refill()

    first, second = standby.take(), standby.take()

    assert [first, second] == launcher.children
    for child in launcher.children:
        child.kill()


def test_a_runner_that_died_while_it_waited_is_replaced() -> None:
    launcher = Launcher()
    standby = Standby(launcher)
    standby.refill()
    launcher.children[0].kill_group()

    taken = standby.take()

    assert taken is launcher.children[1]
    assert taken.is_alive()
    taken.kill()


def test_refilling_keeps_a_live_runner_and_replaces_a_dead_one() -> None:
    launcher = Launcher()
    standby = Standby(launcher)
    standby.refill()
    standby.refill()
    alone = len(launcher.children)
    launcher.children[0].kill_group()

    standby.refill()

    assert (alone, len(launcher.children)) == (1, 2)
    standby.close()


def test_closing_ends_the_waiting_runner() -> None:
    launcher = Launcher()
    standby = Standby(launcher)
    standby.refill()

    standby.close()
    standby.close()

    assert not launcher.children[0].is_alive()
