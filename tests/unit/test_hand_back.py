"""A slot hears that its worker goes away, by a notice or by a signal of its own, and ends in time."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.support.platforms import ROOT
from workers.hand_back import RELEASE_SECONDS, Departure, Notice, hand_back_in_time


async def test_a_notice_that_was_given_before_is_heard() -> None:
    notice, leaving = Notice(), asyncio.Event()
    departure = Departure(notice)
    assert not departure.is_due
    notice.give()

    with departure.told_to(leaving):
        async with asyncio.timeout(5):
            await leaving.wait()

    assert departure.is_due


async def test_a_notice_that_comes_later_and_twice_is_heard_by_everyone() -> None:
    notice, first, second = Notice(), asyncio.Event(), asyncio.Event()

    with Departure(notice).told_to(first):
        notice.give()
        notice.give()
        async with asyncio.timeout(5):
            await first.wait()
    with Departure(notice).told_to(second):
        async with asyncio.timeout(5):
            await second.wait()


async def test_the_handler_of_the_pool_is_back_after_a_job() -> None:
    def handler(*_signal: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with Departure(Notice()).told_to(asyncio.Event()):
            assert signal.getsignal(signal.SIGTERM) is not handler

        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_sigterm_lets_the_job_end_first_and_then_ends_the_process() -> None:
    code = """
    import asyncio, os, signal
    from workers.hand_back import Departure, Notice

    async def job():
        leaving, departure = asyncio.Event(), Departure(Notice())
        with departure.told_to(leaving):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            await leaving.wait()
        print("handed back", departure.is_due, flush=True)

    asyncio.run(job())
    signal.pause()
    """

    ended = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ended.stdout, ended.returncode) == ("handed back True\n", -signal.SIGTERM)


async def test_work_that_ends_in_time_is_not_disturbed() -> None:
    leaving, steps = asyncio.Event(), []

    async def work() -> None:
        await leaving.wait()
        await asyncio.sleep(0)
        steps.append("released")

    leaving.set()
    await hand_back_in_time(work(), leaving, seconds=5)

    assert steps == ["released"]


async def test_work_that_does_not_end_in_time_is_cut_off() -> None:
    leaving, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    leaving.set()
    await hand_back_in_time(work(), leaving, seconds=0.01)

    assert ended.is_set()


async def test_work_that_does_not_end_even_then_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    leaving, ended, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()

    async def work() -> None:
        while not ended.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await ended.wait()

    leaving.set()
    began = loop.time()
    await hand_back_in_time(work(), leaving, seconds=0.01)
    took_seconds = loop.time() - began
    ended.set()

    assert 0.01 + RELEASE_SECONDS - 0.1 <= took_seconds <= RELEASE_SECONDS + 2
    assert "was not handed back" in caplog.text


async def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await hand_back_in_time(work(), asyncio.Event(), seconds=5)
