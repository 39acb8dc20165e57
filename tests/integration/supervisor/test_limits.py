"""What a job may use, with real runners: each limit ends its job, says so, and leaves the worker as it was."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from dspy.lm15 import Request, Response

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.events import EventType
from dspy_service.domain.job import JobStatus
from dspy_service.domain.spec import JobLimits
from dspy_service.domain.supervision import Reins, RunReport
from tests.support.claims import claimed, told
from tests.support.lm_calls import ScriptedEngine, broker, rows, spec
from tests.support.signed import SECRET_KEY
from tests.support.supervised import Doors, Kept
from workers.lm.doors import BrokerDoors
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.sandbox.launch import launch
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits
from workers.supervisor.door import ModelDoor

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the watchdog reads /proc, as on Linux")

_MIB = 1 << 20


@dataclass
class Run:
    """One attempt: its report, its events, and what it cost this process."""

    report: RunReport
    jobs: MemoryJobStore
    seconds: float
    """From the moment at which the runner was ready."""
    grown_bytes: int


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _demo_models() -> BrokerDoors:
    registry = ModelRegistry(read_provider_environment({}))
    return BrokerDoors(registry, artifacts=MemoryArtifactStore(), secret_key=SECRET_KEY)


async def _run(body: str, *, door: ModelDoor | None = None, **limits: float) -> Run:
    """Run a job whose metric is ``body``."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    asked = JobLimits.model_validate(limits)
    job_spec = spec(metric_code=f"import os, time\n\ndef metric(gold, pred, trace=None):\n{lines}\n", limits=asked)
    jobs, claim = await claimed(job_spec)
    standby = Standby(lambda: launch("L1", environ=os.environ), keep=False)
    supervisor = JobSupervisor(
        standby=standby,
        level="L1",
        doors=Doors(door) if door is not None else _demo_models(),
        catalogue=Registry(),
        artifacts=MemoryArtifactStore(),
        secret_key=SECRET_KEY,
        limits=SupervisionLimits(output_bytes=_MIB),
    )
    before, started = _resident_bytes(), time.monotonic()
    report = await supervisor.run(claim, rows(6), jobs=jobs, reins=Reins(), keep_best=Kept())
    standby.close()
    return Run(report, jobs, time.monotonic() - started, _resident_bytes() - before)


async def test_memory_that_is_used_beyond_the_limit_ends_the_job() -> None:
    run = await _run("kept = [bytearray(os.urandom(1 << 20)) for _ in range(100_000)]", memory_bytes=300 * _MIB)

    assert (run.report.status, run.report.failure.kind) == (JobStatus.FAILED, "out_of_memory")
    assert "300 MiB" in run.report.failure.message
    assert run.grown_bytes < 50 * _MIB


async def test_eight_gigabytes_at_once_are_refused_and_end_the_job() -> None:
    run = await _run("return len(bytearray(8 << 30))", memory_bytes=512 * _MIB)

    assert (run.report.status, run.report.failure.kind) == (JobStatus.FAILED, "out_of_memory")
    assert "512 MiB" in run.report.failure.message
    assert run.grown_bytes < 50 * _MIB


async def test_a_flood_of_threads_ends_the_job() -> None:
    body = """
import threading
for _ in range(5000):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
""".strip()

    run = await _run(body, threads=64)

    assert (run.report.status, run.report.failure.kind) == (JobStatus.FAILED, "too_many_threads")
    assert "64" in run.report.failure.message


@pytest.mark.parametrize(
    "body",
    ["while True: pass", "import re\nreturn bool(re.match(r'(a+)+$', 'a' * 64 + 'b'))"],
    ids=["a loop", "a regular expression that holds the interpreter"],
)
async def test_a_job_that_only_computes_ends_at_its_cpu_limit(body: str) -> None:
    run = await _run(body, cpu_seconds=1.5)

    assert (run.report.status, run.report.failure.kind) == (JobStatus.FAILED, "cpu_limit")
    assert run.report.termination_reason == "time_limit"
    assert "1.5 s" in run.report.failure.message


async def test_a_job_that_sleeps_is_stalled() -> None:
    run = await _run("while True: print('still here'); time.sleep(0.01)", stall_seconds=1.5)

    assert (run.report.status, run.report.termination_reason) == (JobStatus.FAILED, "stalled")
    assert run.report.failure.kind == "stalled"
    assert "1.5 s" in run.report.failure.message


async def test_waiting_for_a_model_is_no_stall() -> None:
    async def never(_request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    engine = ScriptedEngine(never)

    run = await _run("return 1.0", door=broker(engine), stall_seconds=1, max_seconds=3)

    assert len(engine.requests) > 0
    assert run.report.failure.kind == "time_limit"
    assert "3 s" in run.report.failure.message


async def test_a_job_ends_within_two_seconds_of_its_wall_time() -> None:
    warm = await _run("return 1.0")
    assert warm.report.status is JobStatus.SUCCESS

    run = await _run("time.sleep(600)", max_seconds=1)

    assert run.report.failure.kind == "time_limit"
    assert run.seconds < warm.seconds + 1 + 2


async def test_a_flood_of_output_is_cut_with_a_mark_and_the_job_goes_on() -> None:
    body = """
for _ in range(4):
    os.write(1, b"x" * 99 + b"\\n")
    os.write(1, (b"y" * 1023 + b"\\n") * 4096)
    print("z" * 100_000)
return 1.0
""".strip()

    run = await _run(body)

    assert run.report.status is JobStatus.SUCCESS
    kept = [entry["message"] for entry in await told(run.jobs, EventType.LOG) if entry["logger"] == "stdout"]
    assert sum(map(len, kept)) < 2.5 * _MIB  # once below the interpreter's own stream, once through it
    assert any("cut here" in message for message in kept)
    assert any("[cut:" in message for message in kept)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(0)", "exit code 0"),
        ("os._exit(7)", "exit code 7"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import threading; threading.Thread(target=os._exit, args=(0,)).start(); time.sleep(60)", "exit code 0"),
    ],
)
async def test_a_process_that_ends_without_a_result_is_a_failed_job(body: str, words: str) -> None:
    run = await _run(body)

    assert run.report.status is JobStatus.FAILED
    assert words in run.report.failure.message
