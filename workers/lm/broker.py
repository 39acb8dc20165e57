"""The only door from a runner to language models: it takes a role and an allow-listed request, nothing else.

One broker serves one attempt of one job, on that job's event loop. Equal calls share one answer, and one call per key
is in flight; the answer goes to everyone who waits for it. What an earlier attempt was answered is answered at once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dspy_service.domain.budget import Budget
from dspy_service.domain.errors import ModelCallError, ProtocolError
from dspy_service.domain.frames import Frame, pack
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.result import Usage
from dspy_service.domain.supervision import Phase
from dspy_service.domain.throttle import ProviderWait
from workers.lm.answering import Answering, Call, SharedAnswers, encode_error
from workers.lm.budget_guard import BudgetGuard
from workers.lm.call_reporter import CallReporter
from workers.lm.gate import Gate
from workers.lm.job_models import JobModel
from workers.lm.journal import Found, Journal
from workers.lm.keys import call_key
from workers.lm.meter import Meter
from workers.lm.requests import admit, refusal

Reply = Callable[[bytes], None]
"""Takes the bytes of one ``answer`` frame; must not block."""

_log: Final = logging.getLogger(__name__)
_MAX_NUMBER: Final = 2**63


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
    """Answers ``lm`` frames; the ``ModelDoor`` of the supervisor.

    Args:
        models: Of this job, by role.
        journal: Answers of this job that exist already.
        meter: What they cost; None: nothing yet.
        gate: Of the models' engines; None: one that only this broker knows.
        budget: What the job may spend; None: anything.
        shared: Answers of the tenant's earlier jobs; None: the job does not want them.
        reporter: Tells operators of the calls; None: nobody does.
        keeps_reserve: Whether the budget keeps something for the final evaluation.
        waits: Tells which providers refuse the job's calls now.
    """

    def __init__(
        self,
        models: Mapping[str, JobModel],
        journal: Journal,
        *,
        meter: Meter | None = None,
        gate: Gate | None = None,
        budget: Budget | None = None,
        shared: SharedAnswers | None = None,
        reporter: CallReporter | None = None,
        keeps_reserve: bool = True,
        waits: Callable[[], Sequence[ProviderWait]] = tuple,
    ) -> None:
        self._models = models
        self._journal = journal
        self._meter = meter or Meter.of(models)
        self._gate = gate or Gate()
        self._guard = BudgetGuard(budget, self._meter, keeps_reserve=keeps_reserve)
        self._answering = Answering(journal, self._meter, self._guard, shared=shared)
        self._reporter = reporter
        self._waits = waits
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = True
        journal.when_lost(self.close_door)
        self.pending_calls = 0
        """Frames that wait for an answer; the supervisor stops reading when there are too many."""
        self.pending_bytes = 0
        """Size of the requests behind them."""

    def roles(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the ``roles`` of the ``spec`` frame."""
        return {role: model.shown for role, model in self._models.items()}

    def usage(self) -> Usage:
        """Return what was used so far, by all attempts together."""
        return self._meter.usage()

    @property
    def spent(self) -> str | None:
        """Which bound of the budget refused a call, as a sentence; None while none did."""
        return self._guard.spent

    def provider_waits(self) -> Sequence[ProviderWait]:
        """Return which providers refuse the job's calls now, and since when."""
        return self._waits()

    def begin(self, phase: Phase) -> None:
        """Note what the calls that follow are for; the final evaluation may spend what the budget reserves for it."""
        self._guard.begin(phase)

    def ask(self, frame: Frame, reply: Reply) -> None:
        """Answer one ``lm`` frame, now or later; what a model or its provider does is an answer, never an exception.

        Raises:
            ProtocolError: the frame cannot be answered, because it has no number.
        """
        number, role = frame.get("id"), frame.get("role")
        if type(number) is not int or not 0 <= number < _MAX_NUMBER:  # a bool is an int too
            raise ProtocolError("An lm frame has no number.")
        if not self._is_open:
            return  # cancelled: silence holds the runner's threads until they are stopped
        if not isinstance(role, str) or role not in self._models:
            reply(_frame(number, encode_error(refusal(f"This job has no {str(role)[:40]!r} model."))))
            return
        try:
            self._take(frame, _Waiter(number, role, reply))
        except ModelCallError as error:
            self._meter.roles[role].failed_calls += 1
            reply(_frame(number, encode_error(error)))

    def hold(self) -> None:
        """Begin no call to a provider until :meth:`go_on`; questions wait, and what is in flight goes on."""
        self._gate.hold()

    def go_on(self) -> None:
        """Begin calls again."""
        self._gate.go_on()

    async def drain(self, timeout_seconds: float) -> None:
        """Begin no call any more, and wait until those in flight are in the journal or the time is up.

        Questions whose answer would need a call wait until the door is closed.
        """
        self._gate.shut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._gate.quiet()
                await self._answering.all_kept()

    def close_door(self) -> None:
        """Answer nothing more and cancel what is in flight."""
        self._is_open = False
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Close the door, wait for what was in flight, and close the journal and connections."""
        self.close_door()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._answering.aclose()
        await self._journal.aclose()
        if self._reporter is not None:
            await self._reporter.aclose()
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
        found = self._journal.find(key)
        if found is not None:
            self._give_again(found, waiter)
            return
        flight = self._flights.get(key)
        if flight is None:
            admitted = admit(request, model=model.wire_model, max_tokens=model.max_tokens)
            sample = "" if rollout is None and candidate == 0 else f"{rollout}:{candidate}"
            flight = self._flights[key] = _Flight(size)
            call = Call(key, waiter.role, model, admitted, sample, self._phase_of(frame))
            task = asyncio.get_running_loop().create_task(self._fly(call, flight))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            flight.size += size
        flight.waiters.append(waiter)
        self.pending_calls += 1
        self.pending_bytes += size

    def _phase_of(self, frame: Frame) -> Phase | None:
        """Return what a call is for: a runner may say that it belongs to an earlier phase, never to a later one."""
        return "compile" if frame.get("phase") == "compile" else self._guard.phase

    def _give_again(self, found: Found, waiter: _Waiter) -> None:
        self._guard.note_use(found.entry)
        if found.is_replayed:
            self._meter.roles[waiter.role].replayed_calls += 1
        else:
            self._meter.roles[waiter.role].cached_calls += 1
        waiter.reply(_frame(waiter.number, found.entry.answer, is_replayed=found.is_earlier))

    async def _fly(self, call: Call, flight: _Flight) -> None:
        try:
            answer = await self._answering.answer(call)
        except Exception:  # noqa: BLE001  # whatever it was: a runner's thread waits for this answer
            _log.exception("A call to %s ended in an error of our own.", call.model.alias)
            error = ModelCallError(ModelErrorKind.UNEXPECTED, "The broker failed; the worker's log says why.")
            answer = encode_error(error)
        del self._flights[call.key]
        self.pending_calls -= len(flight.waiters)
        self.pending_bytes -= flight.size
        for follower in flight.waiters[1:]:
            self._meter.roles[follower.role].cached_calls += 1
        for waiter in flight.waiters:
            waiter.reply(_frame(waiter.number, answer))


def _frame(number: int, answer: bytes, *, is_replayed: bool = False) -> bytes:
    """Return an ``answer`` frame around an encoded answer, which is one member of a JSON object."""
    mark = b'"replayed":true,' if is_replayed else b""
    return pack(b'{"t":"answer","id":%d,%b%b}' % (number, mark, answer))


if TYPE_CHECKING:
    from workers.supervisor.door import ModelDoor

    def _proof(broker: Broker) -> ModelDoor:
        return broker
