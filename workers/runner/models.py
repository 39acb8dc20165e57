"""Language models as the runner sees them: an engine that asks the broker, and no key anywhere."""

import asyncio
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy._vendor.lm15.serde import request_to_dict, response_from_dict
from dspy.utils import exceptions as dspy_errors

from dspy_service.domain.job import Failure
from dspy_service.domain.model_errors import ModelErrorKind
from workers.runner.failures import JobFailed, model_message
from workers.runner.model_errors import error_of
from workers.runner.stage import Stage

MIN_FAILURES = 5  # calls of one role that must fail before anything is concluded
MIN_MIXED_FAILURES = 10  # the same once some call succeeded
BUDGET_SPENT = "The job's budget is spent."


@dataclass
class _Call:
    """One LM call of DSPy: what its engine calls cannot see, and how many there were."""

    rollout_id: Any
    completions: int = 0


_CALL: ContextVar[_Call | None] = ContextVar("runner_lm_call", default=None)


class BrokerLM(dspy.LM):  # type: ignore[misc]  # DSPy is untyped
    """A ``dspy.LM`` whose engine also learns the rollout id, which DSPy strips before an engine sees the request."""

    role: str = ""
    """Who is asked, in the words of the spec."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # DSPy's own signature
        """Remember the rollout of this call, then call as always."""
        token = _CALL.set(_Call(kwargs.get("rollout_id", self.kwargs.get("rollout_id"))))
        try:
            return super().__call__(*args, **kwargs)
        finally:
            _CALL.reset(token)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # DSPy's own signature
        """Remember the rollout of this call, then call as always."""
        token = _CALL.set(_Call(kwargs.get("rollout_id", self.kwargs.get("rollout_id"))))
        try:
            return await super().acall(*args, **kwargs)
        finally:
            _CALL.reset(token)


@dataclass
class RoleTally:
    """Calls of one role, and the fuse that ends a job whose model only fails."""

    role: str
    calls: int = 0
    failures: int = 0
    replayed: int = 0
    """Answers that an earlier attempt paid for; among ``calls``."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def succeeded(self, *, replayed: bool = False) -> None:
        """Count an answer."""
        with self._lock:
            self.calls += 1
            self.replayed += replayed

    def failed(self, error: dspy_errors.LMError) -> None:
        """Count a failure.

        Raises:
            JobFailed: when the first five calls failed, or at least ten and more than half of all.
        """
        with self._lock:
            self.calls += 1
            self.failures += 1
            only = self.failures == self.calls and self.failures >= MIN_FAILURES
            most = self.failures >= MIN_MIXED_FAILURES and self.failures * 2 > self.calls
            calls, failures = self.calls, self.failures
        if only or most:
            message = f"{failures} of {calls} calls to the {self.role} model failed. {model_message(error)}"
            raise JobFailed(Failure(kind="model_error", message=message)) from error

    def as_details(self) -> dict[str, int]:
        """Return the figures for the job's result; of this attempt alone."""
        return {"calls": self.calls, "failed": self.failures, "replayed": self.replayed}


class BrokerEngine:
    """DSPy's engine protocol over the questions of one stage."""

    def __init__(self, stage: Stage, role: str, tally: RoleTally, capabilities: Mapping[str, Any]) -> None:
        self._stage = stage
        self._role = role
        self._tally = tally
        self.supports_function_calling = bool(capabilities.get("function_calling"))
        self.supports_reasoning = bool(capabilities.get("reasoning"))
        self.supports_response_schema = bool(capabilities.get("response_schema"))
        self.supported_params = frozenset(capabilities.get("params") or ())

    def complete(self, request: Any) -> Any:  # noqa: ANN401  # lm15's Request and Response are untyped here
        """Ask the broker.

        Raises:
            LMError: what the provider's failure is in DSPy's words.
            JobEnd: the job was cancelled, its model only fails, or the stage ends because the budget is spent.
        """
        call = _CALL.get()
        candidate = 0
        if call is not None:
            candidate, call.completions = call.completions, call.completions + 1
        answer = self._stage.ask(
            {
                "t": "lm",
                "phase": self._stage.phase,  # a thread that was just stopped may send this after the next stage began
                "role": self._role,
                "request": request_to_dict(request),
                "rollout_id": None if call is None else call.rollout_id,
                "candidate": candidate,
            },
        )
        if answer.get("error") is not None:
            if answer["error"].get("kind") == ModelErrorKind.BUDGET:  # a refusal is no call
                self._stage.stop("budget_exhausted", str(answer["error"].get("message") or BUDGET_SPENT))
                self._stage.check()
            error = error_of(answer["error"])
            self._tally.failed(error)
            raise error
        self._tally.succeeded(replayed=answer.get("replayed") is True)
        return response_from_dict(answer["response"])

    def close(self) -> None:
        """Do nothing: the socket is not ours to close."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "BrokerEngine":
        return self  # optimizers copy models; a copied lock would be a second socket's


class AsyncBrokerEngine:
    """The same for DSPy's asynchronous calls; a thread waits, because answers arrive on threads."""

    def __init__(self, engine: BrokerEngine) -> None:
        self._engine = engine

    async def complete(self, request: Any) -> Any:  # noqa: ANN401  # lm15's Request and Response are untyped here
        """Ask the broker without blocking the loop; raises what the synchronous engine raises."""
        return await asyncio.to_thread(self._engine.complete, request)

    def __deepcopy__(self, memo: dict[int, Any]) -> "AsyncBrokerEngine":
        return self


def build_lm(stage: Stage, role: str, settings: Mapping[str, Any], tally: RoleTally) -> BrokerLM:
    """Build the model of a role; cache and retries live in the broker.

    Raises:
        LMConfigurationError: the options contradict each other for this model.
    """
    engine = BrokerEngine(stage, role, tally, settings.get("capabilities") or {})
    options = {name: settings.get(name) for name in ("temperature", "max_tokens")}
    if settings.get("top_p") is not None:
        options["top_p"] = settings["top_p"]
    options.update(settings.get("extra") or {})
    if settings.get("model_type") is not None:
        options["model_type"] = settings["model_type"]
    lm = BrokerLM(
        settings["model"],
        engine=engine,
        async_engine=AsyncBrokerEngine(engine),
        cache=False,
        num_retries=0,
        **options,
    )
    lm.role = role
    return lm
