"""Files reach the disk behind their writers' backs, in batches, and a slow disk slows the writers down at last."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from dspy_service.adapters.late_flush import LateFlush


class Disk:
    """Notes the batches; each one takes until it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._began = threading.Semaphore(0)
        self._may_end = threading.Semaphore(0)

    def flush(self, paths: Sequence[str]) -> None:
        self.batches.append(list(paths))
        self._began.release()
        self._may_end.acquire(timeout=10)
        if "bad" in paths:
            raise ValueError(paths)

    def wait_for_a_batch(self) -> None:
        assert self._began.acquire(timeout=10)

    def let_through(self, count: int = 1) -> None:
        self._may_end.release(count)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.let_through(100)


def test_what_comes_while_the_disk_is_busy_is_one_batch(disk: Disk) -> None:
    late = LateFlush(disk.flush, pause_seconds=0)
    late.add("a")
    disk.wait_for_a_batch()

    for path in "bcd":
        late.add(path)
    disk.let_through()
    disk.wait_for_a_batch()

    assert disk.batches == [["a"], ["b", "c", "d"]]


def test_a_writer_waits_only_when_too_many_files_do(disk: Disk) -> None:
    late = LateFlush(disk.flush, most_waiting=2, pause_seconds=0)
    late.add("a")
    disk.wait_for_a_batch()
    late.add("b")
    late.add("c")

    writer = threading.Thread(target=late.add, args=("d",))
    writer.start()
    writer.join(timeout=0.05)
    waited = writer.is_alive()
    disk.let_through()
    writer.join(timeout=10)

    assert waited
    assert not writer.is_alive()
    disk.let_through()
    disk.wait_for_a_batch()
    assert disk.batches[:2] == [["a"], ["b", "c"]]


def test_the_files_after_a_failure_are_flushed_too(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    late = LateFlush(disk.flush, pause_seconds=0)
    late.add("bad")
    disk.wait_for_a_batch()
    late.add("good")

    disk.let_through()
    disk.wait_for_a_batch()

    assert disk.batches == [["bad"], ["good"]]
    assert "a power cut may cost them" in caplog.text


def test_a_quiet_flush_begins_again(disk: Disk) -> None:
    late = LateFlush(disk.flush, pause_seconds=0)
    disk.let_through(2)

    for path in "ab":
        late.add(path)
        disk.wait_for_a_batch()
        [worker.join(timeout=10) for worker in threading.enumerate() if worker.name == "late-flush"]

    assert disk.batches == [["a"], ["b"]]
