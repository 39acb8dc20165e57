"""A hosted program can do nothing but compute, ask its model and tell: every attack on a runner fails here too."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspy_service.domain.serving.run_events import Predicted
from tests.integration.containment.canaries import SECRET, Canaries, canaries
from tests.integration.containment.driver import payload
from tests.integration.containment.test_attacks import FEWEST_ATTACKS, OTHER_REFUSALS, PARTS, REFUSALS
from tests.support.hosted import best, confined, hosting, on_server, pickled
from tests.support.openai_server import OpenAIServer, always
from tests.support.served import produced, run_of
from tests.support.served_programs import an_interface
from workers.sandbox.launch import launch

SOURCE = '''
import contextlib, io, os, sys

class Raider(dspy.Module):
    """Runs what it was given, and says what that printed."""

    def __init__(self, source):
        super().__init__()
        self.source = source
        self.answer = dspy.Predict("question -> answer")

    def forward(self, question):
        self.answer(question=question)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(self.source, "<attacks>", "exec"), {"__name__": "attacks", "dspy": dspy})
        return dspy.Prediction(answer=out.getvalue())
'''
KNOWN = """
import gc, json, os, stat, sys

def texts():
    for each in gc.get_objects():
        if isinstance(each, dict):
            yield from (value for value in list(each.values()) if isinstance(value, str))

def seen():
    needles = [first + second for first, second in HALVES]  # nowhere in one piece but here
    return [any(needle in text for text in (*texts(), *os.environ.values(), *sys.argv)) for needle in needles]

def descriptors():
    for name in os.listdir("/proc/self/fd"):
        try:
            mode = os.fstat(int(name)).st_mode
        except OSError:  # the one that lists them
            continue
        if int(name) > 2:
            yield "socket" if stat.S_ISSOCK(mode) else "other" if stat.S_IFMT(mode) else "anonymous"

print(json.dumps({"seen": seen(), "environ": sorted(os.environ), "open": sorted(descriptors())}))
"""
EVENT_LOOP = ["anonymous", "socket", "socket", "socket"]
"""What is open beside standard files: epoll, the loop's own pair, and the one socket to the parent."""
ANSWER = "[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]"


@contextmanager
def _put_up() -> Iterator[Canaries]:
    with tempfile.TemporaryDirectory(prefix="containment-") as name:
        Path(name).chmod(0o755)
        with canaries(Path(name)) as put_up:
            yield put_up


@contextmanager
def _victim() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as victim:
        try:
            yield victim
        finally:
            victim.kill()


async def _printed(server: OpenAIServer, source: str, **rules: Any) -> str:  # noqa: ANN401  # rules of hosts
    """Return what a program printed that ran this in a host of a worker with a key."""

    def build(module: Any) -> dspy.Module:  # noqa: ANN401  # a module of submitted source
        program: dspy.Module = module.Raider(source)
        return program

    version = confined(an_interface(), on_server(server), tenant="tenant-canary", program="program-canary")
    async with hosting((version, pickled(SOURCE, build)), key="".join(SECRET), **rules) as (producer, _):
        final = (await produced(producer, run_of(version, inputs={"question": "?"})))[-1]
    assert isinstance(final, Predicted), final
    return str(final.answer)


async def test_the_kernel_refuses_every_attack_of_a_hosted_program() -> None:
    if best() != "L2":
        pytest.skip("the kernel here confines nothing at level L2")
    with _put_up() as put_up, _victim() as victim, OpenAIServer(always(ANSWER)) as server:
        before = put_up.files()
        facts = {**put_up.facts, "victim": victim.pid, "source": launch.__code__.co_filename, "is_control": False}
        told = await _printed(server, payload(PARTS, facts), threads=10_000, memory_bytes=8 << 30)
        assert victim.poll() is None
        assert put_up.seen == []
        assert put_up.files() == before

    outcomes = [json.loads(line) for line in told.splitlines() if line.startswith("[")]
    assert len(outcomes) >= FEWEST_ATTACKS
    assert [title for title, outcome, *_ in outcomes if outcome != "refused"] == ["other descriptors"]
    assert {
        title: error
        for title, outcome, error, *_ in outcomes
        if outcome == "refused" and error not in REFUSALS | OTHER_REFUSALS.get(title, set())
    } == {}


async def test_no_key_no_address_and_no_name_of_whose_it_is_reaches_the_process() -> None:
    with OpenAIServer(always(ANSWER)) as server:
        whole = ["".join(SECRET), server.base_url, "tenant-canary", "program-canary", "openai/test"]
        halves = [(text[:5], text[5:]) for text in whole]
        told = json.loads(await _printed(server, KNOWN.replace("HALVES", repr(halves))))

    assert told["seen"] == [False, False, False, False, True]
    assert "OPENAI_API_KEY" not in told["environ"]
    assert told["open"] == EVENT_LOOP
