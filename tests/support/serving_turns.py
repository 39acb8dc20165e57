"""Runs without models: scripted producers, and a session or a loop around the run store in memory."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from dspy_service.adapters.memory import MemoryRunStore
from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.serving.run import NewRun, Run, RunOutcome
from dspy_service.domain.serving.run_events import Predicted, RunEvent, RunFact, Started, StatusNoted, TokenWritten
from tests.support.run_samples import a_token
from workers.serving.loop import LoopRules, ServingLoop
from workers.serving.session import Session

LEASE_SECONDS = 30.0
DONE = Predicted(prediction={"answer": "Hello."}, answer="Hello.", usage=None)


def a_new_run(run_id: str = "run_1", **changes: object) -> NewRun:
    fields: dict[str, object] = {
        "run_id": run_id,
        "tenant": "local",
        "program": "answers",
        "version": 1,
        "inputs": {"question": "Hello?"},
    }
    return NewRun.model_validate({**fields, **changes})


def a_start(new: NewRun) -> Started:
    return Started(run_id=new.run_id, program=new.program, version=new.version, model="demo/in-context")


@dataclass
class ScriptedProducer:
    """Yields its facts one by one; once it has told them, waits to be released, if it is told to."""

    facts: Sequence[RunFact] = (a_token("Hello."), DONE)
    is_held: bool = False
    error: Exception | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Runs whose producer was closed, as its connections upstream would be."""

    async def produce(self, run: Run) -> AsyncGenerator[list[RunFact], None]:
        self.begun.append(run.run_id)
        try:
            *before, last = self.facts
            for fact in before:
                yield [fact]
            if self.is_held:
                await self.released.wait()
            if self.error is not None:
                raise self.error
            yield [last]
        finally:
            self.closed.append(run.run_id)


@dataclass
class Ends:
    """Hears of the ends of runs; first raises what it is told to."""

    heard: list[tuple[str, RunOutcome, list[RunFact]]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    async def hear(self, run: Run, outcome: RunOutcome, facts: Sequence[RunFact]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.heard.append((run.run_id, outcome, list(facts)))


class TroubledRuns(MemoryRunStore):
    """The run store, with the troubles that a test asks for."""

    is_away = False
    is_lost = False
    lost_replies = 0
    """Calls that are heard, and whose answers are lost."""

    async def renew(self, run_id: str, *, fence: int, lease_seconds: float) -> bool:
        self._trouble(run_id, fence)
        return await super().renew(run_id, fence=fence, lease_seconds=lease_seconds)

    async def append(self, run_id: str, *, fence: int, facts: Sequence[RunFact], batch: int) -> int:
        self._trouble(run_id, fence)
        last_seq = await super().append(run_id, fence=fence, facts=facts, batch=batch)
        self._lose_reply()
        return last_seq

    async def finish(self, run_id: str, *, fence: int, outcome: RunOutcome, facts: Sequence[RunFact]) -> Run:
        self._trouble(run_id, fence)
        run = await super().finish(run_id, fence=fence, outcome=outcome, facts=facts)
        self._lose_reply()
        return run

    def _trouble(self, run_id: str, fence: int) -> None:
        if self.is_lost:
            raise LeaseLostError(run_id, fence)
        if self.is_away:
            raise StoreUnavailableError("job store")

    def _lose_reply(self) -> None:
        if self.lost_replies > 0:
            self.lost_replies -= 1
            raise StoreUnavailableError("job store")


@dataclass
class Turn:
    """One claimed run with its session."""

    session: Session
    runs: TroubledRuns
    producer: ScriptedProducer
    ends: Ends
    run_id: str
    serving: asyncio.Task[None]

    async def record(self) -> Run:
        return await self.runs.get(self.run_id)

    async def events(self) -> list[RunEvent]:
        return await self.runs.events(self.run_id)

    async def types(self) -> list[str]:
        return [event.fact.type for event in await self.events()]

    async def is_told_of_the_drain(self) -> bool:
        return any(isinstance(event.fact, StatusNoted) for event in await self.events())

    async def has_shown_text(self) -> bool:
        return any(isinstance(event.fact, TokenWritten) for event in await self.events())


async def a_turn(producer: ScriptedProducer, *, lease_seconds: float = LEASE_SECONDS, **changes: object) -> Turn:
    """Create and claim a run, and let a session carry it out."""
    runs, ends, new = TroubledRuns(), Ends(), a_new_run(**changes)
    await runs.create(new, start=a_start(new))
    run = await runs.claim(new.run_id, owner="test", lease_seconds=lease_seconds)
    assert run is not None
    session = Session(
        run,
        runs=runs,
        produce=producer.produce,
        on_end=ends.hear,
        lease_seconds=lease_seconds,
        asked_at=asyncio.get_running_loop().time(),
    )
    return Turn(session, runs, producer, ends, new.run_id, asyncio.create_task(session.serve()))


def a_loop(
    runs: MemoryRunStore,
    producer: ScriptedProducer,
    ends: Ends | None = None,
    *,
    capacity: int = 10,
    drain_seconds: float = 10.0,
) -> ServingLoop:
    rules = LoopRules(capacity=capacity, lease_seconds=LEASE_SECONDS, drain_seconds=drain_seconds)
    on_end = (ends or Ends()).hear
    return ServingLoop(runs=runs, produce=producer.produce, on_end=on_end, owner="test", rules=rules)
