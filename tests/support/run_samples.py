"""Runs to put into a store, and what their workers tell."""

import uuid_utils

from dspy_service.domain.serving.run import NewRun, OnDisconnect, Run, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Predicted, RunEvent, RunFact, Started, TokenWritten
from dspy_service.ports.serving.runs import RunStore

COMPLETED = RunOutcome(status=RunStatus.COMPLETED, finish_reason="stop")


def a_new_run(
    *,
    run_id: str | None = None,
    tenant: str = "local",
    conversation_id: str | None = None,
    key: str | None = None,
    body: str = "aa",
    on_disconnect: OnDisconnect = "continue",
) -> NewRun:
    return NewRun(
        run_id=run_id or f"run_{uuid_utils.uuid7()}",
        tenant=tenant,
        program="qa",
        version=1,
        inputs={"question": "Why is the sky blue? é \U0001f600"},
        conversation_id=conversation_id,
        on_disconnect=on_disconnect,
        idempotency_key=key,
        body_sha256=body,
    )


def started(new: NewRun) -> Started:
    return Started(run_id=new.run_id, program=new.program, version=new.version, model="demo/in-context")


def a_token(text: str, *, offset: int = 0, field: str = "answer", turn: int = 0) -> TokenWritten:
    return TokenWritten(field=field, predictor="self", text=text, offset=offset, turn=turn)


def the_final(answer: str) -> Predicted:
    return Predicted(prediction={"answer": answer}, answer=answer, usage=None)


async def queued(store: RunStore, new: NewRun | None = None) -> Run:
    new = new or a_new_run()
    run, _ = await store.create(new, start=started(new))
    return run


async def taken(store: RunStore, run: Run, *, owner: str = "w1", lease_seconds: float = 15) -> Run:
    claimed = await store.claim(run.run_id, owner=owner, lease_seconds=lease_seconds)
    assert claimed is not None
    return claimed


async def in_progress(store: RunStore, new: NewRun | None = None) -> Run:
    return await taken(store, await queued(store, new))


async def completed(store: RunStore, new: NewRun | None = None) -> Run:
    run = await in_progress(store, new)
    return await store.finish(run.run_id, fence=run.fence, outcome=COMPLETED, facts=[the_final("blue")])


def facts(events: list[RunEvent]) -> list[RunFact]:
    return [event.fact for event in events]


def kinds(events: list[RunEvent]) -> list[str]:
    return [event.fact.type for event in events]
