"""Gets the answer to one call: from the tenant's cache, or from the provider if the budget allows it; then keeps it."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pydantic_core
from dspy._vendor.lm15.serde import response_to_dict  # not re-exported by dspy.lm15
from dspy.lm15 import Request, Response

from dspy_service.domain.errors import ConfigurationError, ModelCallError, StoreUnavailableError
from dspy_service.domain.frames import MAX_FRAME_BYTES
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.supervision import Phase
from dspy_service.ports import ResponseCache
from workers.lm.budget_guard import BudgetGuard
from workers.lm.engine import Answered
from workers.lm.job_models import JobModel
from workers.lm.journal import Journal
from workers.lm.meter import Meter
from workers.lm.provider_errors import PERMANENT, as_fields

_log: Final = logging.getLogger(__name__)
_MAX_ANSWER_BYTES: Final = MAX_FRAME_BYTES - 1024  # room for the frame's other fields


@dataclass(frozen=True)
class Call:
    """One call of a job's program."""

    key: str
    role: str
    """Who asked first; equal calls of other roles get the same answer."""
    model: JobModel
    request: Request = field(repr=False)
    sample: str
    phase: Phase | None
    """In which it was asked for."""


@dataclass(frozen=True)
class SharedAnswers:
    """The cache of the tenant whose job this is."""

    cache: ResponseCache
    tenant: str


class Answering:
    """Answers the calls of one attempt, on its event loop.

    Args:
        journal: Where answers are kept before anybody sees them.
        meter: Counts them.
        guard: Bounds them.
        shared: Answers of the tenant's earlier jobs; None: the job does not want them.
    """

    def __init__(
        self, journal: Journal, meter: Meter, guard: BudgetGuard, *, shared: SharedAnswers | None = None
    ) -> None:
        self._journal = journal
        self._meter = meter
        self._guard = guard
        self._shared = shared
        self._sharing: set[asyncio.Task[None]] = set()
        self._keeping = 0
        self._all_kept = asyncio.Event()
        self._all_kept.set()

    async def answer(self, call: Call) -> bytes:
        """Return the answer as one member of a JSON object, a model's error included.

        It is in the journal then, unless it is an error that may pass.
        """
        entry = await self._from_cache(call)
        if entry is None:
            try:
                entry = await self._from_provider(call)
            except ModelCallError as error:
                if error.kind == ModelErrorKind.BUDGET:
                    self._meter.roles[call.role].refused_calls += 1
                return encode_error(error)
            self._share(entry)
        else:
            self._meter.enter(entry)
        entry = await self._keep(entry)
        self._guard.note_use(entry)
        return entry.answer

    async def all_kept(self) -> None:
        """Wait until every answer that a provider has given is in the journal."""
        await self._all_kept.wait()

    async def aclose(self) -> None:
        """Stop leaving answers for other jobs."""
        for task in self._sharing:
            task.cancel()
        await asyncio.gather(*self._sharing, return_exceptions=True)

    async def _from_cache(self, call: Call) -> JournalEntry | None:
        if self._shared is None:
            return None
        try:
            text = await self._shared.cache.find(self._shared.tenant, call.key)
        except StoreUnavailableError:
            return None  # a call that is made again costs less than a job that stands still
        return None if text is None else _shared_entry(text, call)

    async def _from_provider(self, call: Call) -> JournalEntry:
        with self._guard.flight(call.role, call.phase):
            try:
                entry = _entry(call, await call.model.engine.complete(call.request, sample=call.sample))
            except ModelCallError as error:
                if error.kind not in PERMANENT:
                    self._meter.roles[call.role].failed_calls += 1
                    raise
                entry = JournalEntry(call.key, call.role, call.model.alias, "refusal", 0, 0, 0.0, encode_error(error))
            self._meter.enter(entry)
        return entry

    async def _keep(self, entry: JournalEntry) -> JournalEntry:
        self._keeping += 1
        self._all_kept.clear()
        try:
            return await self._journal.keep(entry)
        finally:
            self._keeping -= 1
            if self._keeping == 0:
                self._all_kept.set()

    def _share(self, entry: JournalEntry) -> None:
        if self._shared is not None and entry.is_paid and entry.is_response:
            task = asyncio.create_task(self._leave(self._shared, entry))
            self._sharing.add(task)
            task.add_done_callback(self._sharing.discard)

    async def _leave(self, shared: SharedAnswers, entry: JournalEntry) -> None:
        try:
            await shared.cache.keep(shared.tenant, entry.key, entry.text().decode())
        except StoreUnavailableError as error:
            _log.debug("An answer was not left for other jobs: %s", error)


def encode_error(error: ModelCallError) -> bytes:
    """Return a model's error as one member of a JSON object."""
    return b'"error":' + pydantic_core.to_json(as_fields(error))


def _entry(call: Call, answered: Answered) -> JournalEntry:
    tokens = answered.tokens
    return JournalEntry(
        key=call.key,
        role=call.role,
        model=call.model.alias,
        origin="provider",
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        cost_usd=answered.cost_usd,
        answer=_encode_response(answered.response),
        is_estimated=tokens.is_estimated,
    )


def _encode_response(response: Response) -> bytes:
    """Return what a model said; what is too much for a runner is an error, and is paid for all the same."""
    told = response_to_dict(response)
    try:
        text = pydantic_core.to_json(told)
    except (pydantic_core.PydanticSerializationError, UnicodeEncodeError):
        text = _without_half_characters(told)
    answer = b'"response":' + text
    if len(answer) > _MAX_ANSWER_BYTES:
        return encode_error(ModelCallError(ModelErrorKind.PROVIDER, "The model's answer is too large."))
    return answer


def _without_half_characters(told: Mapping[str, object]) -> bytes:
    """Return it as JSON. Half of a surrogate pair, as of a cut emoji, becomes U+FFFD; halves that meet are joined."""
    text = json.dumps(told, ensure_ascii=False)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _shared_entry(text: str, call: Call) -> JournalEntry | None:
    """Return a cached answer as this job's own, or None when it is none that can be used."""
    try:
        found = JournalEntry.parse(text.encode())
    except (ValueError, ConfigurationError) as error:  # a newer release's is a miss, too
        _log.warning("The response cache holds something that is no answer: %s", error)
        return None
    if found.key != call.key or not found.is_response:
        return None
    return JournalEntry(
        key=call.key,
        role=call.role,
        model=call.model.alias,
        origin="cache",
        prompt_tokens=found.prompt_tokens,
        completion_tokens=found.completion_tokens,
        cost_usd=found.cost_usd,
        answer=found.answer,
        is_estimated=found.is_estimated,
    )
