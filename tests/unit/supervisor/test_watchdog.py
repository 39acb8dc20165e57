"""What the kernel says about a process, and what is too much."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support.scripted_child import ScriptedChild
from workers.supervisor import SupervisionLimits
from workers.supervisor.watchdog import Watchdog, sample, set_kernel_limits

if sys.platform != "linux":
    pytest.skip("the watchdog reads /proc, which only Linux has", allow_module_level=True)

_SHOW_LIMITS = "import resource as r; input(); print(r.getrlimit(r.RLIMIT_AS), r.getrlimit(r.RLIMIT_CPU))"


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _SHOW_LIMITS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own interpreter
        yield process
        process.kill()


def test_a_sample_tells_time_memory_and_threads() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    before = sample(os.getpid())
    thread.start()
    kept = os.urandom(32 << 20)

    after = sample(os.getpid())

    release.set()
    thread.join()
    assert before is not None
    assert after is not None
    assert after.threads == before.threads + 1
    assert after.memory_bytes - before.memory_bytes > len(kept) // 2
    assert after.cpu_seconds >= before.cpu_seconds > 0


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
