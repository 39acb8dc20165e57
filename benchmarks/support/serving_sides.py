"""What serving is measured with: a stage, an API, a serving worker, and the bare model, each a process."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.support.measured_platform import ROOT
from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.domain.spec import ModelSettings
from tests.support.serving_apis import serving_apis
from tests.support.serving_stage import ServingStage, serving_stage


class TickingModel:
    """The model's process, and what it prints."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.url = self._line()

    def closed_at(self, number: int) -> float:
        """Wait until the client of a question has left; return when the model noticed, as ``time.monotonic``."""
        while True:
            left, moment = self._line().split()
            if int(left) == number:
                return float(moment)

    def _line(self) -> str:
        if self._process.stdout is None or not (line := self._process.stdout.readline().strip()):
            message = "The language model has gone."
            raise SystemExit(message)
        return line


@dataclass(frozen=True)
class Sides:
    """What is measured."""

    model: TickingModel
    bare: httpx.AsyncClient
    served: httpx.AsyncClient
    api_pid: int


@asynccontextmanager
async def serving_sides(streams: int) -> AsyncIterator[Sides]:
    """Start everything, with room for so many streams of one tenant at a time; end it with the block."""
    limits = httpx.Limits(max_connections=None)
    room = {"SERVING_CONCURRENCY": str(streams + streams // 4 + 1), "MAX_LIVE_RUNS": "0", "RUN_LEASE_SECONDS": "15"}
    with _model() as model:
        async with (
            serving_store(**room) as stage,
            serving_apis(stage) as (api,),
            httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as bare,
            httpx.AsyncClient(base_url=api.base_url, trust_env=False, timeout=60, limits=limits) as served,
        ):
            await stage.deploy(ModelSettings(name="openai/test", base_url=model.url), adapter="text")
            await stage.worker()
            yield Sides(model, bare, served, api.pid)


@asynccontextmanager
async def serving_store(**settings: str) -> AsyncIterator[ServingStage]:
    """Set a stage with a store of its own."""
    with tempfile.TemporaryDirectory(prefix="dspy-") as name, EmbeddedValkey.start(Path(name) / "store") as store:
        async with serving_stage(store.url, Path(name), **settings) as stage:
            yield stage


@contextmanager
def _model() -> Iterator[TickingModel]:
    command = [sys.executable, "-m", "benchmarks.support.ticking_model"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own
        try:
            yield TickingModel(process)
        finally:
            process.kill()


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack, which ends the processes that were started."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
