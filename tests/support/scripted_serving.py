"""A serving worker without models: it takes the runs of a store, and says what a script says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dspy_service.domain.serving.run import Run, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Failed, Predicted, RunFact, TokenWritten
from dspy_service.ports.serving.runs import RunStore

LEASE_SECONDS = 30.0
Script = Callable[[Run], Sequence[RunFact]]


def say(*words: str, answer_field: str = "answer", finish_reason: str = "stop", cached: bool = False) -> Script:
    """Write the words one by one; together they are the answer."""
    whole = "".join(words)
    offsets = [len("".join(words[:index])) for index in range(len(words))]
    tokens = [
        TokenWritten(field=answer_field, predictor="self", text=word, offset=offset)
        for word, offset in zip(words, offsets, strict=True)
    ]
    final = Predicted.model_validate(
        {
            "prediction": {answer_field: whole},
            "answer": whole,
            "usage": None,
            "finish_reason": finish_reason,
            "cached": cached,
        }
    )
    return lambda _run: [*tokens, final]


def tell(*facts: RunFact) -> Script:
    """Tell the same of every run."""
    return lambda _run: facts


@dataclass
class ScriptedServing:
    """Carries out one run after the other. While it is held, it has taken a run and told all but its last fact."""

    runs: RunStore
    script: Script
    served: list[Run] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def work(self) -> None:
        while True:
            run_id = await self.runs.next_run()
            run = None if run_id is None else await self.runs.claim(run_id, owner="w1", lease_seconds=LEASE_SECONDS)
            if run is None:
                await self.runs.wait_for_run(0.05)
                continue
            self.served.append(run)
            await self._carry_out(run)

    async def _carry_out(self, run: Run) -> None:
        *before, last = self.script(run)
        for batch, fact in enumerate(before, start=1):
            await self.runs.append(run.run_id, fence=run.fence, facts=[fact], batch=batch)
        await self.released.wait()
        await self.runs.finish(run.run_id, fence=run.fence, outcome=_outcome(last), facts=[last])


def _outcome(last: RunFact) -> RunOutcome:
    if isinstance(last, Failed):
        return RunOutcome(status=RunStatus.FAILED, error=last.error)
    if not isinstance(last, Predicted):
        return RunOutcome(status=RunStatus.CANCELLED)
    status = RunStatus.INCOMPLETE if last.finish_reason == "length" else RunStatus.COMPLETED
    return RunOutcome(status=status, usage=last.usage, finish_reason=last.finish_reason)


@asynccontextmanager
async def scripted_serving(runs: RunStore, script: Script, *, held: bool = False) -> AsyncIterator[ScriptedServing]:
    """Serve for as long as the block lasts."""
    serving = ScriptedServing(runs, script)
    if not held:
        serving.released.set()
    work = asyncio.create_task(serving.work())
    try:
        yield serving
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
