"""One claimed run, from its first fact to its end: produces, appends in batches, keeps the lease, heeds wishes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.serving.run import Run, RunOutcome
from dspy_service.domain.serving.run_events import Failed, RunFact, StatusNoted
from dspy_service.ports.serving.runs import RunRecords
from workers.serving.batches import FactBuffer
from workers.serving.endings import Stop, error_of, last_fact, outcome_of
from workers.serving.story import Story

Produce = Callable[[Run], AsyncGenerator[list[RunFact], None]]
"""Carries a run out. Facts in order, without ``start`` and ``end``; the last one is ``Predicted`` or ``Failed``.

Closing it closes the calls upstream.
"""

OnEnd = Callable[[Run, RunOutcome, Sequence[RunFact]], Awaitable[None]]
"""Called before the end is recorded, with all that was produced, as ``Story.facts`` has it; perhaps more than once."""

T = TypeVar("T")

_RENEWALS_PER_LEASE: Final = 3
_CLOSE_SECONDS: Final = 1.0
"""For a producer that is told to end."""
_RETRY_SECONDS: Final = 0.1

logger = logging.getLogger(__name__)


async def tell_end(on_end: OnEnd, run: Run, outcome: RunOutcome, facts: Sequence[RunFact]) -> None:
    """Tell whoever waits for the end; a bug there must not keep the run from ending. Raises StoreUnavailableError."""
    try:
        await on_end(run, outcome, facts)
    except StoreUnavailableError:
        raise
    except Exception:  # of somebody else's, between a run and its end
        logger.exception("What run %s came to was not recorded beside it.", run.run_id)


class Session:
    """A run and the fence that holds it.

    Args:
        run: As claimed.
        runs: Where its record and its log are.
        produce: Carries it out.
        on_end: Hears of its end.
        lease_seconds: For how long a renewal holds.
        asked_at: When its claim was sent, by the loop's clock: the lease began then or later.
    """

    def __init__(
        self, run: Run, *, runs: RunRecords, produce: Produce, on_end: OnEnd, lease_seconds: float, asked_at: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self._run = run
        self._runs = runs
        self._produce = produce
        self._on_end = on_end
        self._lease_seconds = lease_seconds
        self._clock = loop.time
        self._held_until = asked_at + lease_seconds
        self._buffer = FactBuffer()
        self._story = Story()
        self._batch = 0
        self._stop: asyncio.Future[Stop] = loop.create_future()
        self._begins_anew = False
        """Whether somebody else will carry the run out from its beginning."""
        self._looking = asyncio.Event()

    @property
    def run_id(self) -> str:
        """Whose session it is."""
        return self._run.run_id

    @property
    def tenant(self) -> str:
        """Who asked for it."""
        return self._run.tenant

    def look(self) -> None:
        """Look at once whether somebody wants the run to end."""
        self._looking.set()

    def leave(self) -> None:
        """The worker will go away: give the run back while nobody has seen any of its answer, else tell its readers."""
        if self._story.has_output:
            self._put([StatusNoted(stage="server", phase="drain", name="worker", message="The service restarts.")])
        else:
            self.hand_back()

    def hand_back(self) -> None:
        """End now, because the worker goes away."""
        is_stopping = self._stop.done()
        self._stop_because(Stop.DRAIN)
        self._begins_anew = not is_stopping and not self._story.has_output and self._story.ending is None

    async def serve(self) -> None:
        """Carry the run out. Stops at once, and writes nothing more, when the lease is lost."""
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = tasks.create_task(self._keep_lease())
                stop = await self._carry_out()
                await self._end(stop, keeping)
        except* LeaseLostError:
            logger.warning("Run %s was left: another holds it, or the store did not answer for a lease.", self.run_id)

    async def _carry_out(self) -> Stop | None:
        """Produce until the producer ends or is stopped, and append what it says; returns who stopped it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            producing = asyncio.ensure_future(self._produce_facts())
            either: set[asyncio.Future[None] | asyncio.Future[Stop]] = {producing, self._stop}
            try:
                await asyncio.wait(
                    either, timeout=self._run.options.deadline_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                has_ended = producing.done() and not self._begins_anew
            finally:
                producing.cancel()
                await asyncio.wait({producing}, timeout=_CLOSE_SECONDS)
                self._buffer.close()
        if has_ended:
            return None
        return self._stop.result() if self._stop.done() else Stop.DEADLINE

    async def _produce_facts(self) -> None:
        try:
            async with aclosing(self._produce(self._run)) as stream:
                async for facts in stream:
                    self._put(facts)
        except Exception as error:  # outermost frame of a run: whatever went wrong is its end
            logger.exception("Run %s failed by a bug, or by what the service stands on.", self.run_id)
            self._put([Failed(error=error_of(error), partial=self._story.has_output)])

    def _put(self, facts: Sequence[RunFact]) -> None:
        if self._buffer.is_closed or self._begins_anew:
            return  # the end is being recorded, or there will be another beginning; whatever was on its way is void
        self._story.tell(facts)
        if others := [fact for fact in facts if fact is not self._story.ending]:  # that goes with the end itself
            self._buffer.put(others)

    async def _write(self) -> None:
        while facts := await self._buffer.take():
            await self._append(facts)

    async def _append(self, facts: list[RunFact]) -> None:
        self._batch += 1
        await self._persist(
            lambda: self._runs.append(self.run_id, fence=self._run.fence, facts=facts, batch=self._batch)
        )

    async def _end(self, stop: Stop | None, keeping: asyncio.Task[None]) -> None:
        """Tell whoever waits for the end, then record it; or give the run back, if there is something to give back."""
        reason = (await self._persist(lambda: self._runs.get(self.run_id))).cancel_reason if stop is Stop.WISH else None
        goes_back = stop is Stop.DRAIN and self._story.ending is None
        last = last_fact(self._story, stop, reason or "asked")
        if last is not None:
            self._story.tell([last])
        outcome = outcome_of(self._story)
        if self._story.has_output or not goes_back:
            await self._persist(lambda: tell_end(self._on_end, self._run, outcome, self._story.facts()))
        keeping.cancel()  # a renewal after the end would find the lease gone
        async with self._lease_time():
            if goes_back:
                await self._give_back()
            else:
                ending = self._story.ending
                await self._finish(outcome, [*self._buffer.rest(), *([ending] if ending else [])])

    async def _finish(self, outcome: RunOutcome, facts: list[RunFact]) -> None:
        await self._persist(lambda: self._runs.finish(self.run_id, fence=self._run.fence, outcome=outcome, facts=facts))

    async def _give_back(self) -> None:
        if rest := self._buffer.rest():
            await self._append(rest)
        await self._persist(lambda: self._runs.release(self.run_id, fence=self._run.fence))

    async def _keep_lease(self) -> None:
        """Renew at a third of the lease, and whenever somebody says that there is something to see.

        Raises:
            LeaseLostError: another holds the run, or the store did not answer for a whole lease.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease_seconds / _RENEWALS_PER_LEASE):
                    await self._looking.wait()
            self._looking.clear()
            async with self._lease_time():
                asked_at = self._clock()
                is_wished = await self._persist(
                    lambda: self._runs.renew(self.run_id, fence=self._run.fence, lease_seconds=self._lease_seconds)
                )
            self._held_until = asked_at + self._lease_seconds
            if is_wished:
                self._stop_because(Stop.WISH)

    def _stop_because(self, stop: Stop) -> None:
        if not self._stop.done():
            self._stop.set_result(stop)

    @contextlib.asynccontextmanager
    async def _lease_time(self) -> AsyncGenerator[None, None]:
        """Take the lease for lost when it ends meanwhile."""
        try:
            async with asyncio.timeout_at(self._held_until):
                yield
        except TimeoutError:
            raise LeaseLostError(self.run_id, self._run.fence) from None

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Ask the store until it answers; whoever keeps the lease says when to give up."""
        while True:
            try:
                return await write()
            except StoreUnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
