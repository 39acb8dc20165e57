"""Prints, records and bars, one by one."""

import logging
import sys
import threading
import warnings

import pytest
import tqdm

from workers.runner.bars import BarReader, reading
from workers.runner.capture import Cap, Emit, LineWriter, capture

Entries = list[tuple[str, str, str]]


def _collect(entries: Entries) -> Emit:
    return lambda level, logger, message: entries.append((level, logger, message))


def test_a_writer_reports_whole_lines_only() -> None:
    entries: Entries = []
    writer = LineWriter(_collect(entries), name="stdout", level="INFO")

    writer.write("a")
    writer.write("b\nc\n\nd")

    assert [message for _, _, message in entries] == ["ab", "c"]
    writer.finish()
    assert entries[-1] == ("INFO", "stdout", "d")


def test_lines_of_two_threads_do_not_mix() -> None:
    entries: Entries = []
    writer = LineWriter(_collect(entries), name="stdout", level="INFO")
    writer.write("main ")
    other = threading.Thread(target=writer.write, args=("other\n",))
    other.start()
    other.join()

    writer.write("goes on\n")

    assert [message for _, _, message in entries] == ["other", "main goes on"]


def test_a_writer_refuses_what_is_no_text() -> None:
    writer = LineWriter(_collect([]), name="stdout", level="INFO")

    with pytest.raises(TypeError, match="must be str"):
        writer.write(b"bytes")  # type: ignore[arg-type]  # the point of the test


def test_a_cap_marks_its_cut_once() -> None:
    entries: Entries = []
    cap = Cap(_collect(entries), max_bytes=1024 * 1024, what="the log")

    for _ in range(5):
        cap("INFO", "x", "y" * 500_000)

    assert len(entries) == 3
    assert entries[-1] == ("WARNING", "x", "[cut: the log passed 1 MiB; what follows is not kept]")


def test_records_below_dspy_and_the_root_are_seen_once() -> None:
    entries: Entries = []

    with capture(_collect(entries)):
        logging.getLogger("dspy.some.part").info("\nhello\nthere\n")
        logging.getLogger("theirs").warning("careful")
        logging.getLogger("dspy.some.part").debug("too much")
        logging.getLogger("dspy.some.part").info("\n")
        print("printed")  # noqa: T201  # what the test is about

    assert entries == [
        ("INFO", "dspy.some.part", "hello\nthere"),
        ("WARNING", "theirs", "careful"),
        ("INFO", "stdout", "printed"),
    ]


def test_streams_and_handlers_come_back() -> None:
    before = (sys.stdout, sys.stderr, logging.getLogger("dspy").handlers[:], logging.getLogger().handlers[:])

    with capture(_collect([])):
        assert sys.stdout is not before[0]

    assert (sys.stdout, sys.stderr, logging.getLogger("dspy").handlers, logging.getLogger().handlers) == before


def test_a_record_that_cannot_be_formatted_is_named() -> None:
    class Broken:
        def __str__(self) -> str:
            message = "no text"
            raise ValueError(message)

    entries: Entries = []

    with capture(_collect(entries)):
        logging.getLogger("dspy").error("it is %s", Broken())

    assert entries == [("ERROR", "dspy", "<a log record could not be formatted: ValueError>")]


def test_paths_of_this_machine_are_cut_from_logged_tracebacks() -> None:
    entries: Entries = []

    with capture(_collect(entries)):
        logging.getLogger("dspy").error('  File "/home/me/.venv/lib/python3.11/site-packages/gepa/api.py", line 3')

    assert entries[0][2] == 'File "site-packages/gepa/api.py", line 3'


def test_warnings_become_entries() -> None:
    entries: Entries = []

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with capture(_collect(entries)):
            warnings.warn("old habits", UserWarning, stacklevel=1)

    assert entries[0][:2] == ("WARNING", "py.warnings")
    assert "old habits" in entries[0][2]


class _Clock:
    def __init__(self, step: float) -> None:
        self.now = 0.0
        self._step = step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def test_a_bar_is_read_and_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[dict[str, object]] = []

    with reading(BarReader(seen.append, clock=_Clock(1.0))):
        bar = tqdm.tqdm(total=4, desc="Trial")
        bar.update(1)
        bar.update(2)
        bar.close()

    assert [(m["tqdm_n"], m["tqdm_percent"], m["tqdm_desc"]) for m in seen] == [(1, 25.0, "Trial"), (3, 75.0, "Trial")]
    assert capsys.readouterr() == ("", "")


def test_at_most_four_reports_a_second() -> None:
    seen: list[dict[str, object]] = []

    with reading(BarReader(seen.append, clock=_Clock(0.01))):
        bar = tqdm.tqdm(total=1000)
        for _ in range(1000):
            bar.update()
        bar.close()

    assert 36 <= len(seen) <= 40


def test_a_full_bar_is_reported_however_soon() -> None:
    seen: list[object] = []

    with reading(BarReader(lambda metrics: seen.append(metrics["tqdm_percent"]), clock=_Clock(0.01))):
        bar = tqdm.tqdm(total=3)
        for _ in range(3):
            bar.update()
        bar.close()

    assert seen == [33.33, 100.0]


def test_the_bar_of_the_whole_run_leads_while_it_lives() -> None:
    seen: list[object] = []

    with reading(BarReader(lambda metrics: seen.append(metrics["tqdm_desc"]), clock=_Clock(1.0))):
        leader = tqdm.tqdm(total=10, desc="GEPA Optimization", unit="rollouts")
        inner = tqdm.tqdm(total=3, desc="inner")
        inner.update()
        leader.update()
        leader.close()
        inner.update()
        inner.close()

    assert seen == ["GEPA Optimization", "inner"]


def test_a_bar_without_a_total_has_no_percent() -> None:
    seen: list[dict[str, object]] = []

    with reading(BarReader(seen.append, clock=_Clock(1.0))):
        bar = tqdm.tqdm()
        bar.update(5)
        bar.close()

    assert seen[0]["tqdm_percent"] is None
    assert seen[0]["tqdm_remaining"] is None


def test_the_class_is_as_before_afterwards() -> None:
    before = {name: tqdm.std.tqdm.__dict__[name] for name in ("__init__", "update", "display")}

    with reading(BarReader(lambda metrics: None)):  # noqa: ARG005  # nothing to see
        assert tqdm.std.tqdm.__dict__["update"] is not before["update"]

    assert {name: tqdm.std.tqdm.__dict__[name] for name in before} == before
