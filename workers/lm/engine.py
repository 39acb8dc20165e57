"""One language model as a job calls it: retries, a time limit, a bound on calls in flight, and the price."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from dspy.lm15 import Request, Response

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from workers.lm.provider_errors import translate
from workers.lm.retry import RetryPolicy


class AsyncEngine(Protocol):
    """One attempt at one call; DSPy's own contract for engines, less streaming."""

    async def complete(self, request: Request, *, sample: str) -> Response:
        """Return one response, or raise an lm15 error.

        ``sample`` tells several samples of an equal request apart; only a model that is deterministic needs it.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


Price = Callable[[Request, Response], float | None]
"""What a call cost in USD; None when that is not known."""


@dataclass(frozen=True)
class Target:
    """An engine with what must be known to call it."""

    alias: str
    """Stable name for journals and reports; tells two endpoints of one model name apart, carries no secret."""
    wire_model: str
    """The model's name as its endpoint knows it."""
    engine: AsyncEngine = field(repr=False)
    price: Price = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that an endpoint may repeat in a message and nobody else may see."""


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
    """A response and its price."""

    response: Response
    cost_usd: float | None


_jitter: Final = random.SystemRandom().random


class MeteredEngine:
    """Calls one target. Belongs to the event loop on which it is used."""

    def __init__(
        self,
        target: Target,
        limits: CallLimits,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self._target = target
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.max_in_flight)
        self._sleep = sleep
        self._monotonic = monotonic
        self._jitter = jitter
        self._quiet_until = 0.0

    async def complete(self, request: Request, *, sample: str = "") -> Answered:
        """Return the answer of the first attempt that succeeds.

        Args:
            request: With the target's own name of the model.
            sample: See AsyncEngine.

        Raises:
            ModelCallError: the last attempt's, once the policy gives up.
        """
        started = self._monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._attempt(request, sample)
            except ModelCallError as error:
                elapsed = self._monotonic() - started
                delay = self._limits.retry.delay_seconds(
                    error, attempt=attempt, elapsed_seconds=elapsed, jitter=self._jitter()
                )
                if delay is None:
                    raise
                self._hold_back(error)
                await self._sleep(delay)
            else:
                return Answered(response, self._target.price(request, response))

    async def aclose(self) -> None:
        """Close the target's connections."""
        await self._target.engine.aclose()

    async def _attempt(self, request: Request, sample: str) -> Response:
        async with self._slots:
            quiet = self._quiet_until - self._monotonic()
            if quiet > 0:
                await self._sleep(quiet)
            try:
                async with asyncio.timeout(self._limits.timeout_seconds):
                    return await self._target.engine.complete(request, sample=sample)
            except Exception as error:  # whatever an engine raises becomes an answer for the runner
                raise self._translated(error) from error

    def _translated(self, error: Exception) -> ModelCallError:
        if isinstance(error, ModelCallError):  # our own part of the engine has spoken
            return error
        if type(error) is TimeoutError:  # our own limit; lm15's class is a subclass and speaks for itself
            message = f"The model did not answer within {self._limits.timeout_seconds:g} s."
            return ModelCallError(ModelErrorKind.TIMEOUT, message, model=self._target.alias)
        return translate(error, model=self._target.alias, secrets=self._target.secrets)

    def _hold_back(self, error: ModelCallError) -> None:
        """After a refusal that names a time, calls that have not been sent wait for it too."""
        if error.retry_after_seconds is not None:
            self._quiet_until = max(self._quiet_until, self._monotonic() + error.retry_after_seconds)
