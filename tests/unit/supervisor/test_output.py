"""What a runner writes to stdout and stderr."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from dspy_service.domain.events import EventType
from tests.support.claims import claimed, told
from workers.supervisor.feed import EventFeed
from workers.supervisor.output import OutputReader


async def _read(
    *chunks: bytes, max_bytes: int = 1 << 20, is_job: Callable[[], bool] = lambda: True
) -> list[dict[str, Any]]:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    ours, theirs = os.pipe()
    reader = OutputReader("stdout", os.fdopen(ours, "rb", buffering=0), feed, max_bytes=max_bytes, is_job=is_job)
    reading = asyncio.create_task(reader.run())
    with os.fdopen(theirs, "wb", buffering=0) as pipe:
        for chunk in chunks:
            await asyncio.to_thread(pipe.write, chunk)
    await reading
    await feed.flush()
    return await told(jobs, EventType.LOG)


async def test_each_line_is_a_log_entry_even_when_it_comes_in_pieces() -> None:
    data = await _read(b"one\ntw", b"o\r\n\nthree")

    assert [entry["message"] for entry in data] == ["one", "two", "three"]
    assert {(entry["level"], entry["logger"]) for entry in data} == {("INFO", "stdout")}


async def test_bytes_that_are_no_text_and_controls_are_written_out() -> None:
    data = await _read(b"a\xff\x1b[2Jb\n")

    assert data[0]["message"] == "a\ufffd\\x1b[2Jb"


async def test_a_line_without_end_is_cut() -> None:
    data = await _read(b"x" * 300_000)

    assert all(len(entry["message"]) < 9_000 for entry in data)
    assert "more characters" in data[0]["message"]


async def test_output_past_the_cap_is_marked_once_and_read_to_its_end() -> None:
    data = await _read(*[b"y" * 99 + b"\n"] * 2000, max_bytes=1000)

    assert len(data) == 12
    assert "cut here" in data[-1]["message"]


async def test_empty_lines_are_not_free() -> None:
    data = await _read(b"x\n" * 1000, max_bytes=640)

    assert len(data) == 11


async def test_what_a_runner_writes_while_it_warms_up_is_not_the_jobs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    data = await _read(b"warming\n", is_job=lambda: False)

    assert data == []
    assert "warming" in caplog.text
