"""The only door from a runner to language models: it takes a role and an allow-listed request, nothing else.

One broker serves one attempt of one job, on that job's event loop. Equal calls share one answer, and one call per key
is in flight; the answer goes to everyone who waits for it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pydantic_core
from dspy._vendor.lm15.serde import response_to_dict  # not re-exported by dspy.lm15

from dspy_service.domain.errors import ModelCallError, ProtocolError
from dspy_service.domain.frames import MAX_FRAME_BYTES, Frame, pack
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.result import Usage
from workers.lm.job_models import JobModel
from workers.lm.journal import Journal
from workers.lm.keys import call_key
from workers.lm.meter import RoleMeter, total
from workers.lm.provider_errors import PERMANENT, as_fields
from workers.lm.requests import admit, refusal

Reply = Callable[[bytes], None]
"""Takes the bytes of one ``answer`` frame; must not block."""

_log: Final = logging.getLogger(__name__)
_MAX_NUMBER: Final = 2**63
_MAX_ANSWER_BYTES: Final = MAX_FRAME_BYTES - 1024  # room for the frame's other fields


@dataclass(frozen=True)
class _Waiter:
    number: int
    role: str
    reply: Reply


@dataclass
class _Flight:
    """A call that is being made, and who waits for it; the first in the list caused it."""

    size: int
    waiters: list[_Waiter] = field(default_factory=list)


class Broker:
    """Answers ``lm`` frames.

    Args:
        models: Of this job, by role.
        journal: Answers of this job that exist already.
    """

    def __init__(self, models: Mapping[str, JobModel], journal: Journal) -> None:
        self._models = models
        self._journal = journal
        self._meters = {role: RoleMeter(str(model.shown["model"])) for role, model in models.items()}
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = True
        self.pending_calls = 0
        """Frames that wait for an answer; the supervisor stops reading when there are too many."""
        self.pending_bytes = 0
        """Size of the requests behind them."""

    def roles(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the ``roles`` of the ``spec`` frame."""
        return {role: model.shown for role, model in self._models.items()}

    def usage(self) -> Usage:
        """Return what was used so far."""
        return total(self._meters)

    def ask(self, frame: Frame, reply: Reply) -> None:
        """Answer one ``lm`` frame, now or later; what a model or its provider does is an answer, never an exception.

        Raises:
            ProtocolError: the frame cannot be answered, because it has no number.
        """
        number, role = frame.get("id"), frame.get("role")
        if type(number) is not int or not 0 <= number < _MAX_NUMBER:  # a bool is an int too
            raise ProtocolError("An lm frame has no number.")
        if not self._open:
            return  # cancelled: silence holds the runner's threads until they are stopped
        if not isinstance(role, str) or role not in self._models:
            reply(_frame(number, _failed(refusal(f"This job has no {str(role)[:40]!r} model."))))
            return
        try:
            self._take(frame, _Waiter(number, role, reply))
        except ModelCallError as error:
            self._meters[role].failed_calls += 1
            reply(_frame(number, _failed(error)))

    def close_door(self) -> None:
        """Answer nothing more and cancel what is in flight."""
        self._open = False
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Close the door, wait for what was in flight, and close connections."""
        self.close_door()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for engine in {id(model.engine): model.engine for model in self._models.values()}.values():
            await engine.aclose()

    def _take(self, frame: Frame, waiter: _Waiter) -> None:
        request, candidate, rollout = frame.get("request"), frame.get("candidate", 0), frame.get("rollout_id")
        if not isinstance(request, dict) or not isinstance(candidate, int):
            raise refusal("An lm frame needs a request and the number of a candidate.")
        model = self._models[waiter.role]
        try:
            key, size = call_key(model.alias, request, rollout, candidate)
        except ValueError as error:
            raise refusal("A request may hold finite numbers only.") from error
        answer = self._journal.get(key)
        if answer is not None:
            self._meters[waiter.role].cached_calls += 1
            waiter.reply(_frame(waiter.number, answer))
            return
        flight = self._flights.get(key)
        if flight is None:
            admitted = admit(request, model=model.wire_model, max_tokens=model.max_tokens)
            sample = "" if rollout is None and candidate == 0 else f"{rollout}:{candidate}"
            flight = self._flights[key] = _Flight(size)
            task = asyncio.get_running_loop().create_task(self._fly(key, flight, model, admitted, sample))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            flight.size += size
        flight.waiters.append(waiter)
        self.pending_calls += 1
        self.pending_bytes += size

    async def _fly(self, key: str, flight: _Flight, model: JobModel, request: Any, sample: str) -> None:  # noqa: ANN401  # lm15's Request is untyped
        try:
            answer = await self._ask_provider(key, flight, model, request, sample)
        except Exception:  # noqa: BLE001  # whatever it was: a runner's thread waits for this answer
            _log.exception("A call to %s ended in an error of our own.", model.alias)
            answer = _failed(ModelCallError(ModelErrorKind.UNEXPECTED, "The broker failed; the worker's log says why."))
        del self._flights[key]
        self.pending_calls -= len(flight.waiters)
        self.pending_bytes -= flight.size
        for follower in flight.waiters[1:]:
            self._meters[follower.role].cached_calls += 1
        for waiter in flight.waiters:
            waiter.reply(_frame(waiter.number, answer))

    async def _ask_provider(self, key: str, flight: _Flight, model: JobModel, request: Any, sample: str) -> bytes:  # noqa: ANN401  # lm15's Request is untyped
        try:
            answered = await model.engine.complete(request, sample=sample)
        except ModelCallError as error:
            self._meters[flight.waiters[0].role].failed_calls += 1
            answer = _failed(error)
            return await self._journal.put(key, answer) if error.kind in PERMANENT else answer
        self._meters[flight.waiters[0].role].answered(answered.response, answered.cost_usd)
        answer = b'"response":' + pydantic_core.to_json(response_to_dict(answered.response))
        if len(answer) > _MAX_ANSWER_BYTES:
            answer = _failed(ModelCallError(ModelErrorKind.PROVIDER, "The model's answer is too large."))
        return await self._journal.put(key, answer)


def _failed(error: ModelCallError) -> bytes:
    return b'"error":' + pydantic_core.to_json(as_fields(error))


def _frame(number: int, answer: bytes) -> bytes:
    """Return an ``answer`` frame around an encoded answer, which is one member of a JSON object."""
    return pack(b'{"t":"answer","id":%d,%b}' % (number, answer))
