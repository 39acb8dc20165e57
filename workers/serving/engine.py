"""One language model as a serving turn calls it: the answer is told piece by piece and returned as a whole."""

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from dspy._vendor.lm15.result import StreamAccumulator  # not re-exported by dspy.lm15
from dspy._vendor.lm15.types import StreamEvent  # not re-exported by dspy.lm15
from dspy.clients.engines.stream_guard import achecked_stream
from dspy.lm15 import DataPart, Request, Response, StreamAssemblyError, TextPart, ThinkingPart

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from workers.lm.engine import Answered
from workers.lm.provider_errors import translate
from workers.lm.provider_line import UNCOUNTED, ProviderLine
from workers.lm.retry import RetryPolicy
from workers.lm.target import Target
from workers.lm.token_count import count_tokens
from workers.lm.token_estimate import TokenEstimate
from workers.serving.field_streams.characters import mended

_jitter: Final = random.SystemRandom().random
_NO_STREAM: Final = "What it sent is not the stream of an answer; look at what stands at the model's address."


@dataclass(frozen=True)
class StreamLimits:
    """Bounds of one call; somebody waits for it, so they are narrower than a job's. An operator may set the times."""

    first_seconds: float = 60.0
    """Until the model says anything."""
    quiet_seconds: float = 60.0
    """Between two pieces."""
    whole_seconds: float = 1_800.0
    """Of one attempt, however steadily it goes on."""
    max_in_flight: int = 256
    """Per model and process; more wait their turn."""
    retry: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(
            max_attempts=4,
            max_total_seconds=20.0,
            max_rate_limited_seconds=20.0,
            first_delay_seconds=0.25,
            max_delay_seconds=5.0,
        )
    )
    """Only as long as nothing has been told: what a reader has seen is not asked for again."""


class Listener(Protocol):
    """Whoever wants the pieces of an answer."""

    def text(self, piece: str) -> None:
        """Take more of the answer; what a model thinks before it answers is not told."""
        ...


class StreamedCall:
    """One call from its first attempt to its end."""

    def __init__(self, request: Request, listener: Listener | None) -> None:
        self.request = request
        self.has_spoken = False
        """Whether a piece of the answer was told."""
        self.has_begun = False
        """Whether the last attempt brought anything, thoughts included; it is paid for then."""
        self._listener = listener
        self._heard = StreamAccumulator(request)

    def begin(self) -> None:
        """Start an attempt."""
        self.has_begun = False
        self._heard = StreamAccumulator(self.request)

    def hear(self, event: StreamEvent) -> None:
        """Take one of lm15's events."""
        self._heard.push(event)
        piece = getattr(event.delta, "text", None) if event.type == "delta" else None
        if not piece:
            return
        self.has_begun = True
        if event.delta.type == "text":
            self.has_spoken = True
            if self._listener is not None:
                self._listener.text(piece)

    def tell_whole(self, response: Response) -> None:
        """Tell an answer that came at once."""
        self.has_spoken = True
        said = _said(response)
        if self._listener is not None and said:
            self._listener.text(said)

    def response(self) -> Response:
        """Return what was heard in this attempt, as text that every wire can carry."""
        return _mended(self._heard.response())


def _mended(response: Response) -> Response:
    """Return an answer without half characters, which neither a prompt nor a store takes."""
    parts = tuple(
        replace(part, text=mended(part.text)) if isinstance(part, TextPart | ThinkingPart) else part
        for part in response.message.parts
    )
    return replace(response, message=replace(response.message, parts=parts))


def _said(response: Response) -> str:
    """Return the text that DSPy's adapters will read."""
    return "".join(
        part.text if isinstance(part, TextPart) else json.dumps(part.value, ensure_ascii=False)
        for part in response.message.parts
        if isinstance(part, TextPart | DataPart)
    )


class TellingEngine:
    """Calls one target for all runs of a process. Belongs to the event loop on which it is used.

    Args:
        target: What is called.
        limits: Of every call.
        sleep: Waits so many seconds.
        monotonic: Seconds.
        jitter: From 0 to 1, drawn anew for each wait.
    """

    def __init__(
        self,
        target: Target,
        limits: StreamLimits,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self._target = target
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.max_in_flight)
        self._tokens = TokenEstimate()
        self._sleep = sleep
        self._monotonic = monotonic
        self._jitter = jitter

    @property
    def target(self) -> Target:
        """What is called."""
        return self._target

    async def complete(self, call: StreamedCall, *, sample: str = "", line: ProviderLine | None = None) -> Answered:
        """Return the answer of the first attempt that succeeds; cancelled, the connection closes at once.

        Args:
            call: With the target's own name of the model; its listener hears the pieces.
            sample: See AsyncEngine.
            line: Where the tenant waits for a turn at the provider; None: nobody counts.

        Raises:
            ModelCallError: the last attempt's, once the policy gives up or a piece was told.
        """
        failures, since = 0, 0.0
        while True:
            try:
                response = await self._attempt(call, sample, line, is_again=failures > 0)
            except ModelCallError as error:
                failures += 1
                since = self._monotonic() if failures == 1 else since
                delay = self._limits.retry.delay_seconds(
                    error, attempt=failures, elapsed_seconds=self._monotonic() - since, jitter=self._jitter()
                )
                if delay is None or call.has_spoken:
                    raise
                await self._sleep(delay)
            else:
                return self.priced(call.request, response)

    def priced(self, request: Request, response: Response) -> Answered:
        """Return an answer with its tokens and its price; estimated where the provider tells nothing."""
        tokens = count_tokens(request, response)
        told = replace(response, usage=tokens.as_told_by(response.usage))
        return Answered(response, tokens, self._target.price(request, told))

    async def aclose(self) -> None:
        """Close the target's connections."""
        await self._target.engine.aclose()

    async def _attempt(self, call: StreamedCall, sample: str, line: ProviderLine | None, *, is_again: bool) -> Response:
        async with self._slots:
            if line is None:
                return await self._call(call, sample, line)
            tokens = self._tokens.of(call.request) if line.counts_tokens else 0
            turn = await line.enter(tokens=tokens, first=is_again)
            try:
                response = await self._call(call, sample, line)
                tokens = tokens if turn == UNCOUNTED else self._tokens.learn(call.request, response) or tokens
            finally:
                line.leave(turn, tokens=tokens)
            return response

    async def _call(self, call: StreamedCall, sample: str, line: ProviderLine | None) -> Response:
        begun = self._monotonic()
        call.begin()
        try:
            async with asyncio.timeout(self._limits.whole_seconds):
                return await self._heard(call, sample)
        except Exception as error:  # whatever an engine raises becomes the run's error
            seconds = self._monotonic() - begun
            failed = self._translated(error, call, seconds)
            if failed.kind == ModelErrorKind.RATE_LIMIT and line is not None:
                line.refused(retry_after_seconds=failed.retry_after_seconds, call_seconds=seconds)
            raise failed from error

    async def _heard(self, call: StreamedCall, sample: str) -> Response:
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(self._limits.first_seconds) as patience:
            if self._target.streams is None:
                response = _mended(await self._target.engine.complete(call.request, sample=sample))
                call.tell_whole(response)
                return response
            source = self._target.streams.stream(call.request, sample=sample)
            events: AsyncGenerator[StreamEvent, None] = achecked_stream(source)
            async with aclosing(events):
                async for event in events:
                    call.hear(event)
                    if event.type == "delta":
                        patience.reschedule(now() + self._limits.quiet_seconds)
        return call.response()

    def _translated(self, error: Exception, call: StreamedCall, seconds: float) -> ModelCallError:
        if isinstance(error, ModelCallError):  # our own part of the engine has spoken
            return error
        if type(error) is TimeoutError:  # our own limit; lm15's class is a subclass and speaks for itself
            return ModelCallError(ModelErrorKind.TIMEOUT, self._too_slow(call, seconds), model=self._target.alias)
        if isinstance(error, StreamAssemblyError | ValueError):  # no chunks, or such as hold no JSON or wrong values
            return ModelCallError(ModelErrorKind.TRANSPORT, _NO_STREAM, model=self._target.alias)
        return translate(error, model=self._target.alias, secrets=self._target.secrets)

    def _too_slow(self, call: StreamedCall, seconds: float) -> str:
        """Say which of our own limits a call of so many seconds has run into."""
        limits = self._limits
        if seconds >= limits.whole_seconds:
            return f"The model was still answering after {limits.whole_seconds:g} s."
        return f"The model said nothing for {limits.quiet_seconds if call.has_begun else limits.first_seconds:g} s."
