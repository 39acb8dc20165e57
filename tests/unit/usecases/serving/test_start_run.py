"""A call of a program becomes a run, once its inputs are right."""

import pytest

from dspy_service.adapters.memory import MemoryProgramStore, MemoryRunStore
from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import IdempotencyKeyReusedError, InvalidRequestError
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import RunOptions, RunStatus
from dspy_service.domain.serving.run_events import Started
from dspy_service.usecases.serving.start_run import Invocation, start_run
from tests.support.served_programs import a_field, a_new_version, an_interface


@pytest.fixture
def runs() -> MemoryRunStore:
    return MemoryRunStore()


@pytest.fixture
async def version() -> ProgramVersion:
    fields = an_interface(
        a_field("question"),
        a_field("limit", type_name="int", is_required=False, default=5),
        a_field("answer", "output"),
    )
    found, _ = await MemoryProgramStore().add_version(a_new_version(interface=fields))
    return found


def a_call(version: ProgramVersion, **changes: object) -> Invocation:
    fields: dict[str, object] = {"tenant": "local", "version": version, "inputs": {"question": "Why?"}}
    return Invocation(**{**fields, **changes})  # type: ignore[arg-type]  # the fields of the class


async def test_a_run_waits_with_its_inputs_and_its_first_event(runs: MemoryRunStore, version: ProgramVersion) -> None:
    options = RunOptions(temperature=0.5)

    run, is_new = await start_run(a_call(version, options=options, conversation_id="c1", message_id="m1"), runs=runs)

    (event,) = await runs.events(run.run_id)
    assert is_new
    assert (run.status, run.inputs, run.options) == (RunStatus.QUEUED, {"question": "Why?", "limit": 5}, options)
    assert event.fact == Started(
        run_id=run.run_id,
        program="answers",
        version=1,
        model="demo/in-context",
        conversation_id="c1",
        message_id="m1",
    )
    assert await runs.next_run() == run.run_id


async def test_wrong_inputs_make_no_run(runs: MemoryRunStore, version: ProgramVersion) -> None:
    with pytest.raises(InvalidRequestError, match=r"inputs\.question"):
        await start_run(a_call(version, inputs={}, inputs_path="inputs"), runs=runs)

    assert await runs.next_run() is None


async def test_a_key_is_good_for_one_body(runs: MemoryRunStore, version: ProgramVersion) -> None:
    first, _ = await start_run(a_call(version, idempotency_key="k", body_sha256="a"), runs=runs)

    again, is_new = await start_run(a_call(version, idempotency_key="k", body_sha256="a"), runs=runs)

    assert (again.run_id, is_new) == (first.run_id, False)
    with pytest.raises(IdempotencyKeyReusedError):
        await start_run(a_call(version, idempotency_key="k", body_sha256="b"), runs=runs)


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel", "a\nb"], ids=["empty", "long", "umlaut", "newline"])
async def test_a_key_that_cannot_be_kept_is_refused(key: str, runs: MemoryRunStore, version: ProgramVersion) -> None:
    with pytest.raises(InvalidRequestError, match="Idempotency-Key"):
        await start_run(a_call(version, idempotency_key=key), runs=runs)


async def test_a_tenant_has_so_many_runs_at_a_time(runs: MemoryRunStore, version: ProgramVersion) -> None:
    await start_run(a_call(version, max_live_runs=1), runs=runs)

    with pytest.raises(QuotaExceededError, match="runs"):
        await start_run(a_call(version, max_live_runs=1), runs=runs)
