"""The event loop of a serving process: takes runs that wait, as many as it has room for, and looks after them."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from dspy_service.domain.serving.run import Run, RunOutcome
from dspy_service.ports.serving.runs import RunStore
from workers.chores import Chore, keep_doing
from workers.serving.drain import drain
from workers.serving.session import OnEnd, Produce, Session, tell_end

LOOK_SECONDS: Final = 1.0
"""Between two looks without a call: calls may be lost."""
CLOSE_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopRules:
    """What an operator decides about a serving process."""

    capacity: int
    """Runs at a time."""
    lease_seconds: float
    drain_seconds: float
    """For answers that are being written when the process is told to end."""

    @property
    def tenant_share(self) -> int:
        """Runs of one tenant at a time, so that one whose models hang leaves a fifth of the room, or one, to others."""
        return max(1, self.capacity - max(1, self.capacity // 5))


class ServingLoop:
    """One process's runs. Belongs to one event loop.

    Args:
        runs: Where they wait and are recorded.
        produce: Carries one out.
        on_end: Hears of the end of each, also of those that other workers lost.
        owner: This process's name in the records, which no other ever has.
        rules: What the operator decides.
    """

    def __init__(self, *, runs: RunStore, produce: Produce, on_end: OnEnd, owner: str, rules: LoopRules) -> None:
        self._runs = runs
        self._produce = produce
        self._on_end = on_end
        self._owner = owner
        self._rules = rules
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._call = asyncio.Event()
        self._untold: list[Run] = []
        self._claiming: asyncio.Future[bool] | None = None

    async def serve(self, leaving: asyncio.Event) -> None:
        """Take runs until ``leaving`` is set; then let them end, or give them back, and heed wishes meanwhile."""
        hearing = Chore("hear of new runs and of wishes", self._hear)
        reaping = Chore("end runs of lost workers", self._reap, period_seconds=LOOK_SECONDS)
        async with _doing(hearing, reaping):
            async with _doing(Chore("take runs", self._take)):
                await leaving.wait()
            if self._claiming is not None:
                await asyncio.wait({self._claiming}, timeout=self._rules.drain_seconds)  # else nobody has what it took
            await drain(dict(self._sessions), seconds=self._rules.drain_seconds)

    async def _hear(self) -> None:
        """Wait for a call, and look whether it is about a run that is here. Calls may be lost, so look anyway."""
        await self._runs.wait_for_run(LOOK_SECONDS)
        self._call.set()
        sessions = {session.run_id: session for session in self._sessions.values()}
        if sessions:
            for run_id in await self._runs.wished(list(sessions)):
                sessions[run_id].look()

    async def _take(self) -> None:
        """Claim what waits while there is room, then wait for a call."""
        self._call.clear()
        refused = None
        while len(self._sessions) < self._rules.capacity:
            run_id = await self._runs.next_run(without=self._served_enough())
            if run_id is None or run_id == refused:
                break
            self._claiming = asyncio.ensure_future(self._claim(run_id))
            if not await asyncio.shield(self._claiming):  # a claim that was sent must have its session
                refused = run_id
        await self._call.wait()

    def _served_enough(self) -> list[str]:
        """Return the tenants that have their share of the room; one in a room for one has nobody to leave it to."""
        here = Counter(session.tenant for session in self._sessions.values())
        return [tenant for tenant, runs in here.items() if runs >= self._rules.tenant_share]

    async def _claim(self, run_id: str) -> bool:
        """Begin a run; False when another process was faster."""
        asked_at = asyncio.get_running_loop().time()
        run = await self._runs.claim(run_id, owner=self._owner, lease_seconds=self._rules.lease_seconds)
        if run is None:
            return False
        session = Session(
            run,
            runs=self._runs,
            produce=self._produce,
            on_end=self._on_end,
            lease_seconds=self._rules.lease_seconds,
            asked_at=asked_at,
        )
        task = asyncio.create_task(session.serve(), name=run_id)
        self._sessions[task] = session
        task.add_done_callback(self._forget)
        return True

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._sessions[task]
        self._call.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Run %s was left by a bug of the service.", task.get_name(), exc_info=error)

    async def _reap(self) -> None:
        """End what nobody carries out any more, and tell of it, also when the store goes away in between."""
        self._untold += await self._runs.reap(lease_seconds=self._rules.lease_seconds)
        while self._untold:
            run = self._untold[0]
            await tell_end(self._on_end, run, RunOutcome(status=run.status, usage=run.usage, error=run.error), [])
            del self._untold[0]
            logger.warning("Run %s was ended as %s without its worker.", run.run_id, run.status)


@asynccontextmanager
async def _doing(*chores: Chore) -> AsyncGenerator[None, None]:
    """Do these again and again, until the body ends."""
    tasks = [asyncio.create_task(keep_doing(chore)) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
