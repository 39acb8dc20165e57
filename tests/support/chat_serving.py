"""A serving worker without models, for conversations: it recalls, says what a script says, and records the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from dspy_service.bootstrap import Services
from dspy_service.domain.serving.run import Run, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Cancelled, Failed, Predicted, RunFact
from dspy_service.usecases.serving.recall import recall
from dspy_service.usecases.serving.record_answer import record_answer
from tests.support.conversation_samples import NOW
from tests.support.scripted_serving import LEASE_SECONDS, Script


@dataclass
class ChatServing:
    """Carries out one run after the other. While it is held, it has told all but the last fact of one."""

    services: Services
    script: Script
    served: list[Run] = field(default_factory=list)
    """With the inputs as the program would get them."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def has_begun(self) -> bool:
        """Whether it has taken a run."""
        return bool(self.served)

    async def work(self) -> None:
        runs = self.services.runs
        while True:
            await self._hear_of_ends()
            run_id = await runs.next_run()
            run = None if run_id is None else await runs.claim(run_id, owner="w1", lease_seconds=LEASE_SECONDS)
            if run is None:
                await runs.wait_for_run(0.05)
            else:
                await self._carry_out(run)

    async def _carry_out(self, run: Run) -> None:
        services, runs = self.services, self.services.runs
        run = await recall(run, now=NOW, runs=runs, conversations=services.conversations, programs=services.programs)
        self.served.append(run)
        *before, last = self.script(run)
        for batch, fact in enumerate(before, start=1):
            await runs.append(run.run_id, fence=run.fence, facts=[fact], batch=batch)
        while not (self.released.is_set() or await runs.wished([run.run_id])):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.released.wait(), 0.01)
        reason = (await runs.get(run.run_id)).cancel_reason
        last = last if reason is None else Cancelled(reason=reason)
        await self._record(run, _outcome(last), [*before, last])
        await runs.finish(run.run_id, fence=run.fence, outcome=_outcome(last), facts=[last])

    async def _hear_of_ends(self) -> None:
        for run in await self.services.runs.reap(lease_seconds=LEASE_SECONDS):
            await self._record(run, RunOutcome(status=run.status, error=run.error), [])

    async def _record(self, run: Run, outcome: RunOutcome, facts: list[RunFact]) -> None:
        services = self.services
        await record_answer(
            run,
            outcome,
            facts,
            runs=services.runs,
            conversations=services.conversations,
            programs=services.programs,
        )


def _outcome(last: RunFact) -> RunOutcome:
    if isinstance(last, Predicted):
        return RunOutcome(status=RunStatus.COMPLETED, usage=last.usage, finish_reason=last.finish_reason)
    if isinstance(last, Failed):
        return RunOutcome(status=RunStatus.FAILED, error=last.error)
    return RunOutcome(status=RunStatus.CANCELLED)


@asynccontextmanager
async def chat_serving(services: Services, script: Script, *, held: bool = False) -> AsyncIterator[ChatServing]:
    """Serve for as long as the block lasts."""
    serving = ChatServing(services, script)
    if not held:
        serving.released.set()
    work = asyncio.create_task(serving.work())
    try:
        yield serving
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
