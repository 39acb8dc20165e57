"""The engine behind a served program's ``dspy.LM``: cache, provider, usage; what it hears goes to the run's reader."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

from dspy.lm15 import Request, Response

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.serving.run import FinishReason
from dspy_service.domain.spec import ModelSettings
from workers.lm.meter import Meter
from workers.lm.provider_line import ProviderLine
from workers.serving.answer_cache import ROLE, AnswerCache, CacheUse, entry_of, key_of
from workers.serving.engine import Listener, StreamedCall, TellingEngine
from workers.serving.lm_options import lm_options
from workers.serving.rollouts import RolloutLM, Sample, next_sample
from workers.serving.run_errors import for_dspy

CALLS: ContextVar["RunCalls"] = ContextVar("dspy_service_run_calls")
"""The calls of the run that goes on in this task."""


_FINISHES: Final[Mapping[str, FinishReason]] = {"length": "length", "content_filter": "content_filter"}


def _nobody() -> None:
    """Hear nothing."""


@dataclass
class RunCalls:
    """What all language model calls of one run share."""

    tenant: str
    meter: Meter
    listen: Callable[[], Listener | None] = _nobody
    """Says who hears the call that begins now in this task."""
    cache: AnswerCache | None = None
    cache_use: CacheUse = "use"
    line: ProviderLine | None = None
    finish_reason: FinishReason = field(default="stop", init=False)
    """Of the last answer."""

    @property
    def is_cached(self) -> bool:
        """Whether the run cost nothing: all its answers stood in the cache."""
        role = self.meter.roles[ROLE]
        return role.shared_cache_calls > 0 and role.paid.calls == 0

    async def answer(
        self, engine: TellingEngine, request: Request, *, listener: Listener | None, sample: Sample
    ) -> Response:
        """Return a call's answer; a cached one is told in one piece.

        Args:
            engine: Of the model that is asked, whatever the request calls it.
            request: What is asked.
            listener: Who hears the answer.
            sample: Which of several answers to equal requests is wanted.

        Raises:
            LMError: the call failed.
        """
        alias = engine.target.alias
        routed = replace(request, model=engine.target.wire_model)
        call = StreamedCall(routed, listener)
        key = key_of(alias, routed, *sample)
        if self.cache is not None and self.cache_use == "use":
            found = await self.cache.find(self.tenant, key)
            if found is not None:
                self.meter.enter(replace(found.entry, role=ROLE, origin="cache"))
                call.tell_whole(found.response)
                return self._noted(found.response)
        which = "" if sample == Sample() else f"{sample.rollout_id}:{sample.candidate}"
        return self._noted(await self._ask(engine, call, key, which))

    async def _ask(self, engine: TellingEngine, call: StreamedCall, key: str, sample: str) -> Response:
        alias = engine.target.alias
        try:
            answered = await engine.complete(call, sample=sample, line=self.line)
        except ModelCallError as error:
            self.meter.roles[ROLE].failed_calls += 1
            self._count_part(engine, call, key)
            raise for_dspy(error) from error
        except BaseException:  # cancelled: what was written is paid for all the same
            self._count_part(engine, call, key)
            raise
        entry = entry_of(key, alias, answered)
        self.meter.enter(entry)
        if self.cache is not None and self.cache_use != "bypass":
            self.cache.keep(self.tenant, entry, replace=self.cache_use == "refresh")
        return answered.response

    def _count_part(self, engine: TellingEngine, call: StreamedCall, key: str) -> None:
        """Count what was written before a call ended early; its provider tells no tokens then."""
        if call.has_begun:
            part = engine.priced(call.request, call.response())
            tokens = part.tokens
            alias = engine.target.alias
            entry = JournalEntry(
                key, ROLE, alias, "provider", tokens.prompt, tokens.completion, part.cost_usd, b"", tokens.is_estimated
            )
            self.meter.enter(entry)

    def _noted(self, response: Response) -> Response:
        self.finish_reason = _FINISHES.get(response.finish_reason, "stop")
        return response


class ServedEngine:
    """DSPy's asynchronous engine over one model; which run calls, the task's context tells."""

    def __init__(self, engine: TellingEngine, capabilities: Mapping[str, Any]) -> None:
        self._engine = engine
        self.supports_function_calling = bool(capabilities.get("function_calling"))
        self.supports_reasoning = bool(capabilities.get("reasoning"))
        self.supports_response_schema = bool(capabilities.get("response_schema"))
        self.supported_params = frozenset(capabilities.get("params") or ())

    async def complete(self, request: Request) -> Response:
        """Return the whole answer, told piece by piece meanwhile; raises LMError."""
        calls = CALLS.get()
        return await calls.answer(self._engine, request, listener=calls.listen(), sample=next_sample())


class NoSyncEngine:
    """Takes the place of the synchronous engine, which would stop the event loop; carries what DSPy asks it."""

    def __init__(self, engine: ServedEngine) -> None:
        self.supports_function_calling = engine.supports_function_calling
        self.supports_reasoning = engine.supports_reasoning
        self.supports_response_schema = engine.supports_response_schema
        self.supported_params = engine.supported_params

    def complete(self, _request: Request) -> NoReturn:
        """Refuse."""
        raise RuntimeError("A served program calls its model with `acall`; a synchronous call would stop all others.")


def build_lm(settings: ModelSettings, engine: TellingEngine, capabilities: Mapping[str, Any]) -> RolloutLM:
    """Build DSPy's model; options as a job's runner gives them, caching and retries stay with the engine.

    Raises:
        LMConfigurationError: the options contradict each other for this model.
    """
    served = ServedEngine(engine, capabilities)
    return RolloutLM(
        settings.name,
        engine=NoSyncEngine(served),
        async_engine=served,
        cache=False,
        num_retries=0,
        **lm_options(settings),
    )
