"""A signal that asks the server to stop first ends what would hold it up."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from dspy_service.api.stopping import before_the_end


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that the server's own handler hears."""
    numbers: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, _frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, former)


async def test_the_effect_comes_before_the_end_and_the_server_hears_the_signal_too(heard: list[int]) -> None:
    ended = asyncio.Event()

    async def end() -> None:
        ended.set()

    with before_the_end(end):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(ended.wait(), 5)

    assert heard == [signal.SIGTERM]


async def test_afterwards_the_servers_handlers_are_as_before(heard: list[int]) -> None:
    ours = signal.getsignal(signal.SIGTERM)
    interrupt = signal.getsignal(signal.SIGINT)

    async def never() -> None:
        pytest.fail("nothing was asked to stop")

    with before_the_end(never):
        during = signal.getsignal(signal.SIGTERM)

    assert during is not ours
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == (ours, interrupt)


async def test_without_a_server_there_is_nothing_to_hear() -> None:
    former = signal.signal(signal.SIGTERM, signal.SIG_DFL)

    async def never() -> None:
        pytest.fail("nothing was asked to stop")

    with before_the_end(never):
        during = signal.getsignal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, former)
    assert during is signal.SIG_DFL
