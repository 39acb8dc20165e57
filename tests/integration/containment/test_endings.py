"""However submitted code ends its process, and however long it clings to it, the job fails and nothing stays behind."""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.job import JobStatus
from dspy_service.domain.supervision import Reins, RunReport
from tests.integration.containment.places import HERE, ORDINARY, ROOT, Place, interpreter, require
from tests.integration.runner import scripted
from tests.integration.runner.session import TERMINAL, body, session
from tests.support.claims import claimed
from tests.support.lm_calls import rows, spec
from tests.support.processes import is_alive, wait_until
from tests.support.signed import SECRET_KEY
from tests.support.supervised import Doors, Kept
from workers.sandbox.launch import launch
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has Landlock and seccomp")

LIMIT_SECONDS = 3.0
GRACE_SECONDS = 2.0
SIGNATURE = '''
class Route(dspy.Signature):
    """Route."""

    text: str = dspy.InputField()
    label: str = dspy.OutputField()
'''
DEATHS = {
    "exits well without a word": "import os; os._exit(0)",
    "exits by an exception of the interpreter": "raise SystemExit(0)",
    "reads where nothing is": "import ctypes; ctypes.string_at(0)",
    "aborts": "import os; os.abort()",
}
FOREIGN_CALLS = {
    "x32": "import ctypes; ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))",
    "int 0x80": (
        "import ctypes, mmap\n"
        "page = mmap.mmap(-1, 4096, prot=7)\n"
        "page.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()"
    ),
}
LOOPS = {
    "a loop": "while True: pass",
    "a regular expression": "import re; re.match('(a+)+$', 'a' * 64 + 'b')",
    "a sleep": "import time; time.sleep(3600)",
    "a closed socket": "import os, threading; os.closerange(3, 64); threading.Event().wait()",
}


async def attempt(code: str, *, job_seconds: float = 60.0) -> tuple[RunReport, float, int]:
    """Run a job whose signature source does this first; return its report, its seconds, and the runner's number."""
    jobs, claim = await claimed(spec(signature_code=f"{code}\n{SIGNATURE}"))
    children = []

    def start() -> object:
        children.append(launch("L2", environ=os.environ))
        return children[-1]

    standby = Standby(start, keep=False)
    limits = SupervisionLimits(job_seconds=job_seconds)
    supervisor = JobSupervisor(
        standby=standby,
        level="L2",
        doors=Doors(),
        catalogue=Registry(),
        artifacts=MemoryArtifactStore(),
        secret_key=SECRET_KEY,
        limits=limits,
    )
    began = time.monotonic()
    report = await supervisor.run(claim, rows(3), jobs=jobs, reins=Reins(), keep_best=Kept())
    return report, time.monotonic() - began, children[-1].pid


@pytest.mark.parametrize("death", DEATHS)
async def test_a_process_that_ends_itself_fails_its_job(death: str) -> None:
    report, _, pid = await attempt(DEATHS[death])

    assert report.status is JobStatus.FAILED
    assert report.failure is not None
    assert report.files == {}
    assert not is_alive(pid)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has other machines' calls")
@pytest.mark.parametrize("kind", FOREIGN_CALLS)
async def test_a_call_by_another_machines_numbers_ends_the_process(kind: str) -> None:
    report, _, pid = await attempt(FOREIGN_CALLS[kind])

    assert report.status is JobStatus.FAILED
    assert "SIGSYS" in report.failure.message
    assert not is_alive(pid)


@pytest.mark.parametrize("loop", LOOPS)
async def test_code_that_does_not_return_is_ended_in_time(loop: str) -> None:
    report, seconds, pid = await attempt(LOOPS[loop], job_seconds=LIMIT_SECONDS)

    assert report.status is JobStatus.FAILED
    assert report.termination_reason == "time_limit"
    assert seconds < _cold_start_seconds() + LIMIT_SECONDS + GRACE_SECONDS
    assert not is_alive(pid)


async def test_more_memory_than_there_is_fails_the_job_and_not_the_worker() -> None:
    report, _, _ = await attempt("hoard = bytearray(8 << 30)")

    assert report.status is JobStatus.FAILED
    assert report.failure.kind == "out_of_memory"


@pytest.mark.parametrize("place", dict.fromkeys((HERE, ORDINARY)), ids=lambda place: place.name.replace(" ", "_"))
def test_no_runner_outlives_a_worker_that_was_killed(place: Place) -> None:
    require(place)
    code = (
        "import os, sys, time\n"
        "from workers.sandbox.launch import launch\n"
        "child = launch('L2', environ=os.environ)\n"
        "child.sock.recv(100)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    identity = {"user": place.user, "group": place.user, "extra_groups": []} if place.user else {}
    with interpreter(place.user) as (python, environment):
        worker = subprocess.Popen(  # noqa: S603  # our own code
            [python, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, **identity
        )
        with worker:
            pid = int(worker.stdout.readline())
            lived = is_alive(pid)

            worker.kill()

    assert lived
    wait_until(lambda: not is_alive(pid), seconds=2)


def test_a_runner_that_was_stopped_goes_on() -> None:
    with session(level="L2", latency_seconds=0.5) as runner:
        runner.order(body("labeled_few_shot"), scripted.rows(20), roles=["task", "prompt"], threads=4)
        runner.until("status")
        os.kill(runner.child.pid, signal.SIGSTOP)
        wait_until(lambda: _state(runner.child.pid) == "T")

        os.kill(runner.child.pid, signal.SIGCONT)
        report = runner.until(*TERMINAL)

    assert report.result["optimized_test_metric"] is not None


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123  # Path is no shorter
        return file.read().rpartition(")")[2].split()[0]


def _cold_start_seconds() -> float:
    """Measure how long a runner takes here now, until it is ready."""
    began = time.monotonic()
    with session(level="L2") as runner:
        runner.until("ready")
    return time.monotonic() - began
