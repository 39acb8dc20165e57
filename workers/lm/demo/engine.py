"""The demo model as DSPy engines, sync and async."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from dspy.clients.engines.base import validate_request
from dspy.lm15 import (
    LM15Error,
    Message,
    RateLimitError,
    Request,
    Response,
    ServerError,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TextPart,
    TimeoutError,  # noqa: A004 - lm15's own name, which callers catch
    Usage,
)

from workers.lm.demo.answering import answer
from workers.lm.demo.drawing import digest
from workers.lm.demo.options import DemoOptions, FaultKind, parse_demo_model
from workers.lm.demo.weather import Weather

if TYPE_CHECKING:
    from dspy.clients.engines.base import AsyncEngine, Engine

StreamEvent: TypeAlias = StreamStartEvent | StreamDeltaEvent | StreamEndEvent
"""The events of this engine; `dspy.lm15` does not export its own name for them."""

_CHARS_PER_TOKEN: Final = 4
_CHUNK: Final = re.compile(r"\s*\S+|\s+$")
_PROVIDER: Final = "demo"


class DemoEngine:
    """One synchronous attempt at the demo model; safe to share between threads.

    Args:
        options: Used when the requested model's name carries none of its own.
        sleep: Waits for a number of seconds.
    """

    def __init__(self, options: DemoOptions | None = None, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._core = _Core(options or DemoOptions())
        self._sleep = sleep

    def complete(self, request: Request, *, sample: str = "") -> Response:
        """Answer a request.

        Args:
            request: What DSPy asks.
            sample: Names one of several samples of an equal request (a rollout, a candidate); counts only at a
                temperature above 0. Without it, equal requests have equal answers.

        Raises:
            LM15Error: A simulated fault.
        """
        plan = self._core.plan(request, sample)
        self._wait(plan.latency_seconds)
        return plan.response()

    def stream(self, request: Request, *, sample: str = "") -> Iterator[StreamEvent]:
        """Answer a request word by word; the pieces together are the text of `complete`."""
        plan = self._core.plan(request, sample)
        self._wait(plan.latency_seconds)
        for event in plan.events():
            yield event
            if isinstance(event, StreamDeltaEvent):
                self._wait(plan.delta_seconds)

    def close(self) -> None:
        """Nothing is held open."""

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._sleep(seconds)


class AsyncDemoEngine:
    """One asynchronous attempt at the demo model; see `DemoEngine`."""

    def __init__(
        self, options: DemoOptions | None = None, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._core = _Core(options or DemoOptions())
        self._sleep = sleep

    async def complete(self, request: Request, *, sample: str = "") -> Response:
        """Answer a request; see `DemoEngine.complete`."""
        plan = self._core.plan(request, sample)
        await self._wait(plan.latency_seconds)
        return plan.response()

    async def stream(self, request: Request, *, sample: str = "") -> AsyncIterator[StreamEvent]:
        """Answer a request word by word; see `DemoEngine.stream`."""
        plan = self._core.plan(request, sample)
        await self._wait(plan.latency_seconds)
        for event in plan.events():
            yield event
            if isinstance(event, StreamDeltaEvent):
                await self._wait(plan.delta_seconds)

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)


@dataclass(frozen=True)
class _Plan:
    """What one attempt will do, decided before any waiting."""

    model: str
    request_id: str
    text: str
    finish_reason: Literal["stop", "length"]
    usage: Usage
    latency_seconds: float
    delta_seconds: float
    fault: LM15Error | None

    def response(self) -> Response:
        if self.fault is not None:
            raise self.fault
        message = Message.assistant([TextPart(self.text)])
        return Response(
            id=self.request_id, model=self.model, message=message, finish_reason=self.finish_reason, usage=self.usage
        )

    def events(self) -> Iterator[StreamEvent]:
        if self.fault is not None:
            raise self.fault
        yield StreamStartEvent(id=self.request_id, model=self.model)
        for chunk in _CHUNK.findall(self.text):
            yield StreamDeltaEvent(delta=TextDelta(text=chunk, part_index=0))
        yield StreamEndEvent(finish_reason=self.finish_reason, usage=self.usage)


class _Core:
    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._weather = Weather()

    def plan(self, request: Request, sample: str) -> _Plan:
        validate_request(request)
        options = parse_demo_model(request.model) if "?" in request.model else self._options
        messages = _messages(request)
        asked = "\x00".join(message["content"] for message in messages)
        latency_seconds, fault = self._weather.next_attempt(options, f"{sample}\x00{asked}")
        text = "" if fault else _answer(request, messages, options, sample)
        text, finish_reason = _cut(text, request)
        tokens = _tokens(text)
        return _Plan(
            model=request.model,
            request_id=f"demo-{digest(asked):016x}",
            text=text,
            finish_reason=finish_reason,
            usage=Usage(input_tokens=_tokens(asked), output_tokens=tokens),
            latency_seconds=latency_seconds,
            delta_seconds=1 / options.tokens_per_second if options.tokens_per_second else 0.0,
            fault=_fault(fault, options) if fault else None,
        )


def _messages(request: Request) -> list[dict[str, str]]:
    system = request.system
    if system is None or isinstance(system, str):
        content = system or ""
    else:
        content = "\n".join(part.text for part in system if isinstance(part, TextPart))
    turns = [{"role": message.role, "content": message.text or ""} for message in request.messages]
    return [{"role": "system", "content": content}, *turns]


def _answer(request: Request, messages: list[dict[str, str]], options: DemoOptions, sample: str) -> str:
    seed = options.seed if request.config.seed is None else digest(f"{options.seed}:{request.config.seed}")
    return answer(messages, seed=seed, temperature=request.config.temperature or 0.0, sample=sample)


def _cut(text: str, request: Request) -> tuple[str, Literal["stop", "length"]]:
    ends = [text.find(stop) for stop in request.config.stop if stop in text]
    text = text[: min(ends)] if ends else text
    limit = (request.config.max_tokens or len(text)) * _CHARS_PER_TOKEN
    return (text[:limit], "length") if len(text) > limit else (text, "stop")


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARS_PER_TOKEN)


def _fault(kind: FaultKind, options: DemoOptions) -> LM15Error:
    if kind is FaultKind.RATE_LIMIT:
        retry_after = options.retry_after_seconds
        return RateLimitError("simulated rate limit", provider=_PROVIDER, status=429, retry_after=retry_after)
    if kind is FaultKind.SERVER:
        return ServerError("simulated server error", provider=_PROVIDER, status=500)
    return TimeoutError("simulated timeout", provider=_PROVIDER)


if TYPE_CHECKING:
    _sync_proof: Engine = DemoEngine()
    _async_proof: AsyncEngine = AsyncDemoEngine()
