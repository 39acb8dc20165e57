"""One language model as a job calls it: retries, a time limit, a bound on calls in flight, and the price."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from dspy.lm15 import Request, Response

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from workers.lm.gate import Gate
from workers.lm.provider_errors import translate
from workers.lm.provider_line import NO_TURN, UNCOUNTED, ProviderLine
from workers.lm.retry import RetryPolicy
from workers.lm.target import Target
from workers.lm.token_count import TokenCount, count_tokens
from workers.lm.token_estimate import TokenEstimate


@dataclass(frozen=True)
class CallLimits:
    """Bounds of every call of a job."""

    timeout_seconds: float = 180.0
    """Of one attempt."""
    max_in_flight: int = 128
    """Per model; more wait their turn."""
    max_tokens: int = 131_072
    """Largest ``max_tokens`` that a program may ask for, unless the job's own settings name a larger one."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True)
class Answered:
    """A response as the provider gave it, what it took and its price."""

    response: Response
    tokens: TokenCount
    cost_usd: float | None
    """By ``tokens``, also where these are estimated; None: the model has no known price."""


_jitter: Final = random.SystemRandom().random


class _Failures:
    """How often a call has failed in one way, and since when."""

    def __init__(self) -> None:
        self.count = 0
        self.in_outage = 0
        """Of these, how many followed another while the model, which had answered before, answered nobody."""
        self._since = self._last = 0.0

    def add(self, now: float, *, answered_at: float | None) -> float:
        """Count one more, and return the seconds since the first.

        Args:
            now: By the clock of ``answered_at``.
            answered_at: When any call of the model was answered last; None: never.
        """
        if self.count == 0:
            self._since = now
        elif answered_at is not None and answered_at < self._last:
            self.in_outage += 1
        self._last = now
        self.count += 1
        return now - self._since


class MeteredEngine:
    """Calls one target. Belongs to the event loop on which it is used.

    Args:
        target: What is called.
        limits: Of every call.
        gate: Says when calls may begin; None: always.
        line: Where calls wait for their turn at the provider; None: nobody counts them.
        sleep: Waits so many seconds.
        monotonic: Seconds.
        jitter: From 0 to 1, drawn anew for each wait.
    """

    def __init__(
        self,
        target: Target,
        limits: CallLimits,
        *,
        gate: Gate | None = None,
        line: ProviderLine | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self._target = target
        self._limits = limits
        self._gate = gate or Gate()
        self._line = line
        self._tokens = TokenEstimate()
        self._slots = asyncio.Semaphore(limits.max_in_flight)
        self._sleep = sleep
        self._monotonic = monotonic
        self._jitter = jitter
        self._quiet_until = 0.0
        self._answered_at: float | None = None
        self.rate_limits = 0
        """Answers of the provider that said: too many requests."""
        self.waited_seconds = 0.0
        """How long calls stood still because of that, or for their turn; the sum of all that waited."""

    @property
    def target(self) -> Target:
        """What is called."""
        return self._target

    async def complete(self, request: Request, *, sample: str = "") -> Answered:
        """Return the answer of the first attempt that succeeds.

        Args:
            request: With the target's own name of the model.
            sample: See AsyncEngine.

        Raises:
            ModelCallError: the last attempt's, once the policy gives up.
        """
        refusals, failures = _Failures(), _Failures()
        while True:
            try:
                response = await self._attempt(request, sample, is_again=refusals.count > 0)
            except ModelCallError as error:
                ends = refusals if error.kind == ModelErrorKind.RATE_LIMIT else failures
                elapsed = max(self._count(ends), self._refused_for_seconds(error))
                delay = self._limits.retry.delay_seconds(
                    error,
                    attempt=ends.count,
                    elapsed_seconds=elapsed,
                    jitter=self._jitter(),
                    in_outage=ends.in_outage,
                )
                if delay is None:
                    raise
                await self._wait_after(error, delay)
            else:
                self._answered_at = self._monotonic()
                tokens = count_tokens(request, response)
                priced = replace(response, usage=tokens.as_told_by(response.usage))
                return Answered(response, tokens, self._target.price(request, priced))

    async def aclose(self) -> None:
        """Close the target's connections, and leave the line."""
        if self._line is not None:
            await self._line.aclose()
        await self._target.engine.aclose()

    def _count(self, failures: _Failures) -> float:
        return failures.add(self._monotonic(), answered_at=self._answered_at)

    async def _attempt(self, request: Request, sample: str, *, is_again: bool) -> Response:
        async with self._slots:
            entered = self._monotonic()
            if self._quiet_until > entered:
                await self._sleep(self._quiet_until - entered)
            if self._line is None:
                self.waited_seconds += self._monotonic() - entered
                return await self._call(request, sample)
            tokens = self._tokens.of(request) if self._line.counts_tokens else 0
            turn = await self._turn(self._line, tokens, is_again=is_again)
            self.waited_seconds += self._monotonic() - entered
            try:
                response = await self._call(request, sample)
                self._line.standstill.end()
                tokens = tokens if turn == UNCOUNTED else self._tokens.learn(request, response) or tokens
            finally:
                self._line.leave(turn, tokens=tokens)
            return response

    async def _turn(self, line: ProviderLine, tokens: int, *, is_again: bool) -> str:
        """Wait for a turn that can be used at once; one that is granted when the gate is closed is another job's."""
        while True:
            await self._gate.opened()
            turn = await line.enter(tokens=tokens, first=is_again)
            if turn != NO_TURN and self._gate.is_open:
                return turn
            line.leave(turn)

    async def _call(self, request: Request, sample: str) -> Response:
        async with self._gate:
            begun = self._monotonic()
            try:
                async with asyncio.timeout(self._limits.timeout_seconds):
                    return await self._target.engine.complete(request, sample=sample)
            except Exception as error:  # whatever an engine raises becomes an answer for the runner
                failed = self._translated(error)
                if failed.kind == ModelErrorKind.RATE_LIMIT:
                    self._refused(failed, call_seconds=self._monotonic() - begun)
                raise failed from error

    def _refused(self, error: ModelCallError, *, call_seconds: float) -> None:
        self.rate_limits += 1
        if self._line is not None:
            self._line.refused(retry_after_seconds=error.retry_after_seconds, call_seconds=call_seconds)

    def _translated(self, error: Exception) -> ModelCallError:
        if isinstance(error, ModelCallError):  # our own part of the engine has spoken
            return error
        if type(error) is TimeoutError:  # our own limit; lm15's class is a subclass and speaks for itself
            message = f"The model did not answer within {self._limits.timeout_seconds:g} s."
            return ModelCallError(ModelErrorKind.TIMEOUT, message, model=self._target.alias)
        return translate(error, model=self._target.alias, secrets=self._target.secrets)

    def _refused_for_seconds(self, error: ModelCallError) -> float:
        """Return how long the provider has refused all calls: those that wait in line have one patience together."""
        is_rate = error.kind == ModelErrorKind.RATE_LIMIT
        return self._line.standstill.seconds if is_rate and self._line is not None else 0.0

    async def _wait_after(self, error: ModelCallError, delay: float) -> None:
        """Wait before another attempt; if a refusal names a time, calls that have not been sent wait for it too."""
        is_rate = error.kind == ModelErrorKind.RATE_LIMIT
        if is_rate and self._line is not None:
            return  # the line says when, as soon as the provider is well, and to all workers
        if error.retry_after_seconds is not None:
            self._quiet_until = max(self._quiet_until, self._monotonic() + delay)
        await self._sleep(delay)
        if is_rate:
            self.waited_seconds += delay
