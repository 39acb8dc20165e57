"""The language model as a hosted program sees it: one model, that the other end of the socket calls; no key anywhere.

Every run has a ``dspy.LM`` of its own, so that whoever calls it, in whatever thread or task, calls for that run.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from itertools import count
from typing import Any, Protocol

import dspy
from dspy._vendor.lm15.serde import request_to_dict, response_from_dict  # not re-exported by dspy.lm15
from dspy.lm15 import Request, Response

from dspy_service.domain.frames import Frame
from dspy_service.domain.spec import ModelSettings
from workers.host.link import ServiceLink
from workers.runner.model_errors import error_of
from workers.serving.lm_options import lm_options, with_options
from workers.serving.rollouts import RolloutLM, Sample, next_sample


class Hears(Protocol):
    """Whoever wants the pieces of an answer."""

    def text(self, piece: str) -> None:
        """Take more of the answer."""
        ...


class Listens(Protocol):
    """Says who hears a call that begins now in this task or thread."""

    def listen(self) -> Hears | None:
        """Return the hearer, if there is one."""
        ...


class RunStoppedError(BaseException):
    """The run was told to end; no layer of DSPy may swallow it."""


class Calls:
    """All calls of this process that wait for an answer. Belongs to the link's event loop."""

    def __init__(self, link: ServiceLink) -> None:
        self._link = link
        self._numbers = count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Frame], Hears | None]] = {}

    async def ask(self, run: int, request: Request, sample: Sample, hears: Hears | None) -> Response:
        """Return an answer.

        Raises:
            LMError: the call failed; ``call_number`` says which it was.
        """
        number = next(self._numbers)
        future: asyncio.Future[Frame] = self._link.loop.create_future()
        self._waiting[number] = (future, hears)
        try:
            self._link.send(
                {
                    "t": "lm",
                    "run": run,
                    "id": number,
                    "request": request_to_dict(request),
                    "rollout_id": sample.rollout_id,
                    "candidate": sample.candidate,
                    "tells": hears is not None,
                }
            )
            answer = await future
        finally:
            del self._waiting[number]
        if answer.get("error") is not None:
            error = error_of(answer["error"])
            error.call_number = number
            raise error
        return response_from_dict(answer["response"])

    def tell(self, frame: Frame) -> None:
        """Hand a piece on."""
        _, hears = self._waiting.get(frame["id"], (None, None))
        if hears is not None:
            hears.text(frame["text"])

    def answer(self, frame: Frame) -> None:
        """Hand an answer on."""
        future, _ = self._waiting.get(frame["id"], (None, None))
        if future is not None and not future.done():
            future.set_result(frame)


class RunEngine:
    """DSPy's asynchronous engine for one run.

    Args:
        run: Whose calls these are.
        calls: Where they go.
        listens: Says who hears each.
        capabilities: What the model can do.
    """

    def __init__(self, run: int, calls: Calls, listens: Listens, capabilities: Mapping[str, Any]) -> None:
        self._run = run
        self._calls = calls
        self._listens = listens
        self._is_stopped = False
        self._on_threads: set[Future[Response]] = set()
        self.supports_function_calling = bool(capabilities.get("function_calling"))
        self.supports_reasoning = bool(capabilities.get("reasoning"))
        self.supports_response_schema = bool(capabilities.get("response_schema"))
        self.supported_params = frozenset(capabilities.get("params") or ())

    async def complete(self, request: Request) -> Response:
        """Return the whole answer, told piece by piece meanwhile; raises LMError."""
        return await self.begin(request)

    def begin(self, request: Request) -> Coroutine[Any, Any, Response]:
        """Return the call, to be awaited on the loop; who hears it is found in the task or thread that begins it."""
        if self._is_stopped:
            raise RunStoppedError
        return self._calls.ask(self._run, request, next_sample(), self._listens.listen())

    def end_with_run(self, answering: Future[Response]) -> None:
        """Cancel a call that a thread waits for once the run ends, so that the thread goes on and hears of it."""
        self._on_threads.add(answering)
        answering.add_done_callback(self._on_threads.discard)
        if self._is_stopped:
            answering.cancel()

    def stop(self) -> None:
        """Begin no further call, and cancel those that threads wait for."""
        self._is_stopped = True
        for answering in tuple(self._on_threads):
            answering.cancel()

    def __deepcopy__(self, memo: dict[int, Any]) -> "RunEngine":
        return self  # modules copy models; a copy belongs to the same run


class ThreadEngine:
    """The same for DSPy's synchronous calls, which are made on threads beside the loop."""

    def __init__(self, engine: RunEngine, link: ServiceLink) -> None:
        self._engine = engine
        self._link = link
        self.supports_function_calling = engine.supports_function_calling
        self.supports_reasoning = engine.supports_reasoning
        self.supports_response_schema = engine.supports_response_schema
        self.supported_params = engine.supported_params

    def complete(self, request: Request) -> Response:
        """Return the whole answer; raises LMError, and RunStoppedError once the run was told to end."""
        if self._link.is_on_loop:
            message = "An asynchronous program calls its predictors with `acall`: a plain call would stop all its runs."
            raise RuntimeError(message)
        answering = asyncio.run_coroutine_threadsafe(self._engine.begin(request), self._link.loop)
        self._engine.end_with_run(answering)
        try:
            return answering.result()
        except CancelledError:
            raise RunStoppedError from None

    def __deepcopy__(self, memo: dict[int, Any]) -> "ThreadEngine":
        return self


def build_lm(settings: ModelSettings, options: Mapping[str, Any], engine: RunEngine, link: ServiceLink) -> dspy.LM:
    """Build the model of one run.

    Raises:
        LMConfigurationError: the options contradict each other for this model.
    """
    lm = RolloutLM(
        settings.name,
        engine=ThreadEngine(engine, link),
        async_engine=engine,
        cache=False,
        num_retries=0,
        **lm_options(settings),
    )
    return with_options(lm, options)
