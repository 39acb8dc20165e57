"""The serving thread of a process: it begins with the process, ends when told, and survives what goes wrong."""

import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.domain.serving.run import RunStatus
from tests.support.processes import wait_until
from tests.support.run_samples import a_new_run, started
from tests.support.serving_turns import LEASE_SECONDS, Ends, ScriptedProducer
from workers.hand_back import Notice
from workers.serving.loop import LoopRules
from workers.serving.worker import ServingDoor, ServingWorker

RULES = LoopRules(capacity=10, lease_seconds=LEASE_SECONDS, drain_seconds=2.0)


@pytest.fixture(autouse=True)
def _own_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class Doors:
    """Opens onto a store with one run; may fail first."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.opened = 0
        self.closed = 0
        self.runs: MemoryRunStore | None = None

    def open(self) -> AbstractAsyncContextManager[ServingDoor]:
        return self._door()

    @asynccontextmanager
    async def _door(self) -> AsyncIterator[ServingDoor]:
        self.opened += 1
        if self.opened <= self.failures:
            raise RuntimeError("a bug")
        self.runs = MemoryRunStore()
        new = a_new_run(run_id="run_1")
        await self.runs.create(new, start=started(new))
        try:
            yield ServingDoor(self.runs, ScriptedProducer().produce, Ends().hear)
        finally:
            self.closed += 1

    @property
    def has_completed(self) -> bool:
        return self.runs is not None and self.runs._runs["run_1"].run.status is RunStatus.COMPLETED


def a_worker(doors: Doors, notice: Notice) -> ServingWorker:
    return ServingWorker(doors.open, owner="test", rules=RULES, notice=notice)


def test_it_serves_until_it_is_closed() -> None:
    doors = Doors()
    worker = a_worker(doors, Notice())

    worker.start()
    wait_until(lambda: doors.has_completed)
    worker.close()
    worker.close()

    assert doors.closed == 1


def test_it_ends_with_the_notice() -> None:
    doors, notice = Doors(), Notice()
    worker = a_worker(doors, notice)
    worker.start()
    wait_until(lambda: doors.has_completed)

    notice.give()

    wait_until(lambda: doors.closed == 1)


def test_a_notice_that_was_given_before_is_heard() -> None:
    doors, notice = Doors(), Notice()
    notice.give()
    worker = a_worker(doors, notice)

    worker.start()
    worker.close()

    assert doors.opened == doors.closed


def test_a_bug_at_the_start_is_told_and_does_not_keep_it_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors(failures=1)
    worker = a_worker(doors, Notice())

    worker.start()
    wait_until(lambda: "serves nothing" in caplog.text)
    began = time.monotonic()
    worker.close()

    assert time.monotonic() - began < RULES.drain_seconds
    assert doors.opened == 1
