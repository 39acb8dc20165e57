"""A host is watched: whether its loop answers, and what it uses."""

import asyncio
from collections.abc import Iterable
from itertools import chain, count, repeat

import pytest

from dspy_service.domain.errors import ProtocolError
from workers.serving.hosting.host_watch import HostWatch
from workers.serving.hosting.rules import HostRules
from workers.supervisor.watchdog import Sample

QUIET = Sample(cpu_seconds=0.0, memory_bytes=1_000, threads=3)


async def _reason(
    samples: Iterable[Sample], *, is_busy: bool = False, is_read: bool = True, answers: bool = True, **rules: float
) -> str:
    """Return why a host is ended that answers every ping, or none, and uses what the samples say; the last goes on."""
    remaining = iter(samples)
    watch = HostWatch(
        1,
        HostRules(look_seconds=0.005, **rules),  # type: ignore[arg-type]  # rules by name
        is_busy=lambda: is_busy,
        is_read=lambda: is_read,
        look=lambda _pid: next(remaining),
    )

    def ping(number: int) -> None:
        if answers:
            watch.hear(number)

    return await asyncio.wait_for(watch.run(ping), 20)


async def test_a_loop_that_does_not_answer_is_held_by_its_code() -> None:
    assert "held it for 0.05 s" in await _reason(repeat(QUIET), answers=False, silent_seconds=0.05)


async def test_too_much_memory_or_too_many_threads_end_it() -> None:
    large, wide = Sample(0.0, 5_000, 3), Sample(0.0, 1_000, 9)

    assert "memory" in await _reason(chain([QUIET] * 3, repeat(large)), memory_bytes=4_000)
    assert "8 threads" in await _reason(chain([QUIET] * 3, repeat(wide)), threads=8)


async def test_it_may_not_compute_without_a_run() -> None:
    burning = (Sample(float(second), 1_000, 3) for second in count())

    assert "computed without a run" in await _reason(burning)


async def test_a_host_that_is_busy_or_waits_for_us_lives_on() -> None:
    burning = chain((Sample(float(second), 1_000, 3) for second in range(50)), repeat(Sample(50.0, 9_000, 3)))

    reason = await _reason(burning, is_busy=True, is_read=False, answers=False, silent_seconds=0.02, memory_bytes=8_000)

    assert "memory" in reason  # the only thing that was wrong, and the last


def test_an_answer_that_nobody_asked_for_breaks_the_protocol() -> None:
    watch = HostWatch(1, HostRules(), is_busy=lambda: False, is_read=lambda: True)

    for number in (0, 1, None, True):
        with pytest.raises(ProtocolError):
            watch.hear(number)
