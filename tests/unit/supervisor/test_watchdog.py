"""What the kernel says about a process, and what is too much."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.scripted_child import ScriptedChild
from workers.supervisor import SupervisionLimits
from workers.supervisor.watchdog import Watchdog, sample, set_kernel_limits

if sys.platform != "linux":
    pytest.skip("the watchdog reads /proc, which only Linux has", allow_module_level=True)

_SHOW_LIMITS = "import resource as r; input(); print(r.getrlimit(r.RLIMIT_AS), r.getrlimit(r.RLIMIT_CPU))"

_GROWTH_BYTES = 32 << 20
_GROW = f"""
import os, sys, threading
print("small", flush=True)
input()
kept = os.urandom({_GROWTH_BYTES})
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("large", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _SHOW_LIMITS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own interpreter
        yield process
        process.kill()


def test_a_sample_tells_time_memory_and_threads() -> None:
    # Another process, since in this one new memory may be memory that an earlier test gave back.
    command = [sys.executable, "-c", _GROW]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own interpreter
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = sample(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        after = sample(process.pid)
        process.kill()

    assert before is not None
    assert after is not None
    assert after.threads == before.threads + 1
    assert after.memory_bytes - before.memory_bytes > _GROWTH_BYTES // 2
    assert after.cpu_seconds >= before.cpu_seconds >= 0


def test_there_is_nothing_to_tell_about_a_process_that_is_gone() -> None:
    assert sample(ScriptedChild.pid) is None


def test_the_kernels_limits_are_lowered_and_never_raised(waiting: subprocess.Popen[str]) -> None:
    set_kernel_limits(waiting.pid, SupervisionLimits(memory_bytes=1 << 30, cpu_seconds=10))
    set_kernel_limits(waiting.pid, SupervisionLimits(memory_bytes=8 << 30, cpu_seconds=10_000))

    shown, _ = waiting.communicate("\n", timeout=20)

    assert shown.split() == [f"({3 << 30},", f"{3 << 30})", "(15,", "15)"]


def test_limits_of_a_process_that_is_gone_are_nobodys_concern() -> None:
    set_kernel_limits(ScriptedChild.pid, SupervisionLimits())


async def test_progress_and_waiting_put_a_stall_off() -> None:
    is_waiting = True
    watchdog = Watchdog(ScriptedChild.pid, SupervisionLimits(stall_seconds=0.35), lambda: is_waiting)
    watching = asyncio.create_task(watchdog.run())
    loop = asyncio.get_running_loop()

    done, _ = await asyncio.wait({watching}, timeout=0.6)
    is_waiting = False
    watchdog.note_progress()
    stopped_waiting_at = loop.time()
    ending = await watching

    assert not done
    assert ending.reason == "stalled"
    assert loop.time() - stopped_waiting_at >= 0.3
