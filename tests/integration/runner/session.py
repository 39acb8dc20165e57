"""Drives one real runner process: sends it a job, answers its model calls, and keeps every frame that it sends."""

import base64
import contextlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dspy_service.domain.catalogue.entries import ModuleEntry
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.frames import Frame, FrameReader, encode
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.workers import SandboxLevel
from tests.integration.runner import scripted
from workers.sandbox.launch import Child, launch

SIGNATURE = '''
class Route(dspy.Signature):
    """Route the ticket."""

    text: str = dspy.InputField()
    label: Literal["billing", "tech"] = dspy.OutputField()
'''

METRIC = """
def metric(gold, pred, trace=None):
    return gold.label == pred.label
"""

FEEDBACK_METRIC = """
def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
    right = gold.label == pred.label
    return dspy.Prediction(score=float(right), feedback="" if right else f"It was {gold.label}.")
"""

TERMINAL = ("result", "failure")

SPLIT_FOR_MINIBATCHES = {"train": 0.3, "val": 0.4, "test": 0.3}
"""Of 150 rows: a valset that MIPROv2 does not score as a whole in every trial."""

CANCEL: Frame = {"t": "cancel"}
STOP: Frame = {"t": "stop", "reason": "budget_exhausted"}

Answerer = Callable[[Frame], dict[str, Any] | None]
"""Gives the ``response`` or ``error`` part of an answer, None for no answer ever; a ``replayed`` one comes at once.

The frame that it gets also tells the ``phase`` that it was asked for.
"""


def good(frame: Frame) -> dict[str, Any]:
    """Answer as the scripted model does."""
    return {"response": scripted.reply(frame["request"])}


def broken(kind: str, message: str = "no such key") -> Callable[[Frame], dict[str, Any]]:
    """Answer every call with an error of this kind."""
    error = {"kind": kind, "message": message, "model": "m", "retry_after_seconds": None}
    return lambda _frame: {"error": error}


def good_until(calls: int, *, phase: str | None, then: Answerer) -> Answerer:
    """Answer well, but from this many calls of ``phase`` on as ``then`` does, in that phase only."""
    counted = iter(range(1_000_000))
    return lambda frame: then(frame) if frame["phase"] == phase and next(counted) >= calls else good(frame)


def body(optimizer: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Return a spec as JSON; small enough to end in a second."""
    return {
        "signature_code": SIGNATURE,
        "metric_code": METRIC,
        "column_mapping": {"inputs": {"text": "body"}, "outputs": {"label": "team"}},
        "module_name": "predict",
        "optimizer_name": optimizer,
        "model_config": {"name": "openai/scripted"},
        "split_fractions": {"train": 0.4, "val": 0.3, "test": 0.3},
        "seed": 7,
        **changes,
    }


@dataclass
class Report:
    """Everything that a runner said about one job."""

    frames: list[Frame] = field(default_factory=list)
    exit_code: int | None = None

    def of(self, kind: str) -> list[Frame]:
        """Return the frames of one kind, in order."""
        return [frame for frame in self.frames if frame["t"] == kind]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of the events of one type, in order."""
        return [frame["data"] for frame in self.of("event") if frame["type"] == kind]

    def progress(self, name: str) -> list[dict[str, Any]]:
        """Return the metrics of the progress events of one name, in order."""
        return [data["metrics"] for data in self.events("progress") if data["event"] == name]

    @property
    def result(self) -> dict[str, Any]:
        """The result; fails with the failure if there is none."""
        assert self.of("result"), self.of("failure")
        result: dict[str, Any] = self.of("result")[0]["result"]
        return result

    @property
    def failure(self) -> dict[str, Any]:
        """The failure; fails with the result if there is none."""
        assert self.of("failure"), self.of("result")
        failure: dict[str, Any] = self.of("failure")[0]["failure"]
        return failure

    @property
    def phase(self) -> str | None:
        """The newest phase; None before the first."""
        phases = self.of("phase")
        return phases[-1]["phase"] if phases else None

    def file(self, name: str, *, checkpoint: int | None = None) -> bytes:
        """Return a file of the artifact, or of a checkpoint."""
        blobs = [frame for frame in self.of("blob") if frame.get("checkpoint") == checkpoint]
        return b"".join(base64.b64decode(frame["data"]) for frame in blobs if frame["name"] == name)

    def state(self, *, checkpoint: int | None = None) -> dict[str, Any]:
        """Return the program's state without versions, of the artifact or of a checkpoint."""
        state: dict[str, Any] = json.loads(self.file("program.json", checkpoint=checkpoint))
        del state["metadata"]
        return state


class Session:
    """Our end of one runner."""

    def __init__(
        self,
        child: Child,
        *,
        answer: Answerer = good,
        stop: Callable[[Report], bool] | None = None,
        stop_frame: Frame = CANCEL,
        latency_seconds: float = 0.0,
    ) -> None:
        self.child = child
        self.report = Report()
        self._answer = answer
        self._stop = stop
        self._stop_frame = stop_frame
        self._reader = FrameReader()
        self._unread: deque[Frame] = deque()
        self._latency_seconds = latency_seconds
        self._sending = threading.Lock()

    def send(self, frame: Frame) -> None:
        """Send one frame."""
        with self._sending:
            self.child.sock.sendall(encode(frame))

    def order(
        self,
        spec: dict[str, Any],
        dataset: list[dict[str, Any]],
        *,
        roles: list[str],
        threads: int,
        modules: Sequence[ModuleEntry] = (),
    ) -> None:
        """Send a job; ``modules`` are the operator's own."""
        registry = Registry()
        for module in modules:
            registry.register_module(module)
        parsed = JobSpec.model_validate(spec)
        role: dict[str, Any] = {"model": "openai/scripted", "temperature": None, "max_tokens": None, "capabilities": {}}
        head = {
            "t": "spec",
            "job_id": "job-1",
            "spec": parsed.model_dump(mode="json"),
            "module": registry.module(parsed.module_name).model_dump(mode="json"),
            "optimizer": registry.optimizer(parsed.optimizer_name).model_dump(mode="json"),
            "roles": dict.fromkeys(roles, role),
            "num_threads": threads,
        }
        self.send(head)
        middle = len(dataset) // 2
        self.send({"t": "rows", "rows": dataset[:middle], "last": False})
        self.send({"t": "rows", "rows": dataset[middle:], "last": True})

    def until(self, *kinds: str, seconds: float = 60) -> Report:
        """Answer calls until a frame of one of ``kinds`` came or the runner hung up."""
        for frame in self._frames(seconds):
            self.report.frames.append(frame)
            if frame["t"] == "lm":
                answer = self._answer(frame)
                if answer is not None:
                    self._reply({"t": "answer", "id": frame["id"], **answer})
            if self._stop is not None and self._stop(self.report):
                self._stop = None
                self.send(self._stop_frame)
            if frame["t"] in kinds:
                return self.report
        self.report.exit_code = self.child.process.wait(timeout=seconds)
        return self.report

    def _reply(self, frame: Frame) -> None:
        if not self._latency_seconds or frame.get("replayed"):
            self._send_if_heard(frame)
            return
        timer = threading.Timer(self._latency_seconds, self._send_if_heard, [frame])
        timer.daemon = True
        timer.start()

    def _send_if_heard(self, frame: Frame) -> None:
        """Answer a question; a runner that was cancelled may have gone since it asked."""
        with contextlib.suppress(BrokenPipeError):
            self.send(frame)

    def _frames(self, seconds: float) -> Iterator[Frame]:
        """Yield what comes; what came together with the last frame that a caller took, first."""
        deadline = time.monotonic() + seconds
        while True:
            while self._unread:
                yield self._unread.popleft()
            self.child.sock.settimeout(max(0.01, deadline - time.monotonic()))
            data = self.child.sock.recv(1 << 18)
            if not data:
                return
            self._unread.extend(self._reader.feed(data))


@contextmanager
def session(
    *,
    level: SandboxLevel = "L1",
    factories: Sequence[str] = (),
    **options: Any,  # noqa: ANN401  # of Session
) -> Iterator[Session]:
    """Start a runner, and end it afterwards whatever happened."""
    child = launch(level, environ=os.environ, factories=factories)
    try:
        yield Session(child, **options)
    finally:
        child.kill()


def run_job(
    spec: dict[str, Any],
    *,
    rows: int = 20,
    threads: int = 4,
    modules: Sequence[ModuleEntry] = (),
    **options: Any,  # noqa: ANN401  # of Session
) -> Report:
    """Run one job from start to end and return all that the runner said."""
    roles = ["task", "prompt", *(["reflection"] if "reflection_model_config" in spec else [])]
    with session(**options) as runner:
        runner.order(spec, scripted.rows(rows), roles=roles, threads=threads, modules=modules)
        return runner.until(*TERMINAL)
