"""Frames, engines and waiting for tests of the language model layer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from dspy.lm15 import Message, Request, Response, TextPart, Usage

from dspy_service.domain.budget import Budget
from dspy_service.domain.frames import Frame, FrameReader
from dspy_service.domain.journal_entry import JournalEntry, Origin
from dspy_service.domain.spec import ColumnMapping, JobSpec, ModelSettings
from workers.lm.answering import SharedAnswers
from workers.lm.broker import Broker
from workers.lm.engine import CallLimits, MeteredEngine
from workers.lm.gate import Gate
from workers.lm.job_models import JobModel, open_models
from workers.lm.journal import Journal, MemoryJournal
from workers.lm.meter import Meter
from workers.lm.registry import ModelRegistry
from workers.lm.target import Target

Handler = Callable[[Request], Awaitable[Response]]


def request(text: str = "hello", **config: object) -> dict[str, Any]:
    """What a runner writes into an ``lm`` frame."""
    messages = [{"role": "user", "parts": [{"type": "text", "text": text}]}]
    return {"model": "anything", "messages": messages, "config": config}


def lm_frame(number: int, text: str = "hello", *, role: str = "task", **fields: object) -> Frame:
    frame = {"t": "lm", "id": number, "role": role, "request": request(text), "rollout_id": None, "candidate": 0}
    return {**frame, **fields}


def response(text: str, *, prompt_tokens: int = 3, completion_tokens: int = 2) -> Response:
    return Response(
        id="r",
        model="wire",
        message=Message.assistant([TextPart(text)]),
        finish_reason="stop",
        usage=Usage(input_tokens=prompt_tokens, output_tokens=completion_tokens),
    )


class ScriptedEngine:
    """An engine whose every attempt is a call of ``handler``."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[Request] = []
        self.samples: list[str] = []
        self.closed = False

    async def complete(self, request: Request, *, sample: str) -> Response:
        self.requests.append(request)
        self.samples.append(sample)
        return await self.handler(request)

    async def aclose(self) -> None:
        self.closed = True


def target(
    engine: ScriptedEngine, *, alias: str = "model", cost_usd: float | None = 0.5, is_priced: bool = True
) -> Target:
    return Target(
        alias=alias,
        wire_model="wire",
        engine=engine,
        price=lambda _request, _response: cost_usd,
        is_priced=is_priced,
    )


def job_model(
    engine: ScriptedEngine,
    *,
    alias: str = "model",
    cost_usd: float | None = 0.5,
    max_tokens: int = 1000,
    gate: Gate | None = None,
    limits: CallLimits | None = None,
) -> JobModel:
    """A model of a job whose every call is one of a scripted engine."""
    metered = MeteredEngine(target(engine, alias=alias, cost_usd=cost_usd), limits or CallLimits(), gate=gate)
    return JobModel(alias, "wire", max_tokens, metered, {"model": alias})


def broker(
    engine: ScriptedEngine,
    *,
    journal: Journal | None = None,
    max_tokens: int = 1000,
    budget: Budget | None = None,
    meter: Meter | None = None,
    shared: SharedAnswers | None = None,
    limits: CallLimits | None = None,
) -> Broker:
    """A broker whose ``task`` and ``prompt`` roles share one scripted model."""
    gate = Gate()
    model = job_model(engine, max_tokens=max_tokens, gate=gate, limits=limits)
    return Broker(
        {"task": model, "prompt": model},
        MemoryJournal() if journal is None else journal,
        gate=gate,
        budget=budget,
        meter=meter,
        shared=shared,
    )


async def opened(job: JobSpec, registry: ModelRegistry, limits: CallLimits | None = None) -> Broker:
    """A broker of a job's real models, with an empty journal."""
    gate = Gate()
    models = await open_models(job, registry, limits or CallLimits(), gate=gate)
    return Broker(models, MemoryJournal(), gate=gate, budget=job.budget)


class ScriptedRegistry:
    """A registry in which every name is a scripted engine."""

    def __init__(self, handler: Handler, *, cost_usd: float | None = 0.5, is_priced: bool = True) -> None:
        self.engine = ScriptedEngine(handler)
        self._cost_usd = cost_usd
        self._is_priced = is_priced

    def target(self, settings: ModelSettings) -> Target:
        return target(self.engine, alias=settings.name, cost_usd=self._cost_usd, is_priced=self._is_priced)

    def capabilities(self, _settings: ModelSettings) -> dict[str, Any]:
        return {}


def entry(
    number: int = 1,
    *,
    role: str = "task",
    origin: Origin = "provider",
    cost_usd: float | None = 0.5,
    answer: bytes | None = None,
    is_estimated: bool = False,
) -> JournalEntry:
    """An answer of 3 + 2 tokens to call ``number``."""
    text = b'"response":{"text":"answer %d"}' % number if answer is None else answer
    return JournalEntry(f"{number:064x}", role, "model", origin, 3, 2, cost_usd, text, is_estimated=is_estimated)


class Answers:
    """Collects the answer frames of a broker, by number."""

    def __init__(self) -> None:
        self.frames: dict[int, Frame] = {}
        self._arrived = asyncio.Event()

    def __call__(self, data: bytes) -> None:
        for frame in FrameReader().feed(data):
            self.frames[frame["id"]] = frame
        self._arrived.set()

    async def wait(self, count: int) -> dict[int, Frame]:
        async with asyncio.timeout(10):
            while len(self.frames) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.frames

    async def wait_for(self, number: int) -> Frame:
        async with asyncio.timeout(10):
            while number not in self.frames:
                self._arrived.clear()
                await self._arrived.wait()
        return self.frames[number]

    def is_replayed(self, number: int) -> bool:
        return self.frames[number].get("replayed", False)

    def text(self, number: int) -> str:
        return str(self.frames[number]["response"]["message"]["parts"][0]["text"])

    def kind(self, number: int) -> str:
        return str(self.frames[number]["error"]["kind"])


SIGNATURE = '''
class Route(dspy.Signature):
    """Route the ticket."""

    text: str = dspy.InputField()
    label: Literal["billing", "technical"] = dspy.OutputField()
'''
METRIC = """
def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
    return float(gold.label == pred.label)
"""


def spec(model: ModelSettings | None = None, **changes: object) -> JobSpec:
    """A job that routes tickets, on the demo model unless told otherwise."""
    fields: dict[str, Any] = {
        "signature_code": SIGNATURE,
        "metric_code": METRIC,
        "column_mapping": ColumnMapping(inputs={"text": "text"}, outputs={"label": "label"}),
        "optimizer_name": "bootstrap_few_shot",
        "lm": model or ModelSettings(name="demo/in-context"),
        "seed": 1,
    }
    return JobSpec(**{**fields, **changes})


def rows(count: int) -> list[dict[str, Any]]:
    tickets = (("My invoice {} is wrong", "billing"), ("The app {} crashes at start", "technical"))
    return [{"text": text.format(i), "label": label} for i in range(count) for text, label in [tickets[i % 2]]]


def rows_json(count: int) -> bytes:
    return json.dumps(rows(count)).encode()
