"""A run that may be asked for again is told in few events once its log is gone, until its record goes."""

from dspy_service.domain.result import Usage
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import (
    Cancelled,
    FieldDone,
    RunFact,
    Snapshot,
    TextReplaced,
    UsageCounted,
)
from tests.contract.run_backends import RunBackend, RunsInMemory, RunsOnRedis, RunsOnRedisWithLostReplies
from tests.support.run_samples import (
    COMPLETED,
    a_new_run,
    a_token,
    completed,
    facts,
    in_progress,
    kinds,
    queued,
    the_final,
)

HOUR, DAY = 3600, 24 * 3600


class RetellingContract:
    async def test_the_whole_run_is_told_in_few_events(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store, a_new_run(key="k"))
        told: list[RunFact] = [
            a_token("I think", field="reasoning"),
            a_token("red"),
            TextReplaced(field="answer", predictor="self", text="bl"),
            FieldDone(field="scores", predictor="self", value=[1.5, {}]),
            a_token("ack é\U0001f600", offset=2),
        ]
        await backend.store.append(run.run_id, fence=1, facts=told, batch=1)
        last: list[RunFact] = [UsageCounted(usage=Usage(total_tokens=9)), the_final("black é\U0001f600")]
        await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=last)
        whole = await backend.store.events(run.run_id)

        await backend.let_time_pass(HOUR)
        short = await backend.store.retold(run.run_id)

        assert await backend.store.events(run.run_id) == []
        assert kinds(short) == ["start", "field_done", "snapshot", "final", "end"]
        assert [event for event in short if not isinstance(event.fact, Snapshot)] == [
            event for event in whole if event.fact.type in {"start", "field_done", "final", "end"}
        ]
        assert FieldTexts.of(facts(short)).all() == FieldTexts.of(facts(whole)).all()
        assert [event.seq for event in short] == sorted({event.seq for event in short})

    async def test_it_is_kept_as_long_as_the_record(self, backend: RunBackend) -> None:
        ended = await completed(backend.store, a_new_run(key="k"))

        await backend.let_time_pass(DAY - 60)
        told = kinds(await backend.store.retold(ended.run_id))
        await backend.let_time_pass(120)

        assert told == ["start", "final", "end"]
        assert await backend.store.retold(ended.run_id) == []

    async def test_a_run_that_is_remembered_by_its_memo_is_kept_too(self, backend: RunBackend) -> None:
        ended = await completed(backend.store, a_new_run().model_copy(update={"memo": {"message": "Why?"}}))

        assert kinds(await backend.store.retold(ended.run_id)) == ["start", "final", "end"]

    async def test_nothing_is_kept_of_others_nor_told_before_the_end(self, backend: RunBackend) -> None:
        ended = await completed(backend.store)
        live = await in_progress(backend.store, a_new_run(key="k"))

        assert await backend.store.retold(ended.run_id) == []
        assert await backend.store.retold(live.run_id) == []
        assert await backend.store.retold("nobody") == []

    async def test_what_was_written_until_a_cancel_is_told(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store, a_new_run(key="k"))
        await backend.store.append(run.run_id, fence=1, facts=[a_token("bl")], batch=1)
        outcome = RunOutcome(status=RunStatus.CANCELLED)
        await backend.store.finish(run.run_id, fence=1, outcome=outcome, facts=[Cancelled(reason="asked")])

        short = await backend.store.retold(run.run_id)

        assert kinds(short) == ["start", "snapshot", "cancelled", "end"]
        assert FieldTexts.of(facts(short)).text("answer") == "bl"

    async def test_a_run_that_ended_in_the_queue_is_told(self, backend: RunBackend) -> None:
        run = await queued(backend.store, a_new_run(key="k"))
        await backend.store.cancel(run.run_id, reason="asked")

        assert kinds(await backend.store.retold(run.run_id)) == ["start", "cancelled", "end"]

    async def test_a_log_that_was_trimmed_is_told_as_a_whole(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store, a_new_run(key="k"))
        for batch in range(1, 22):
            facts_of_batch = [a_token(f"{batch}.{number} ") for number in range(500)]
            await backend.store.append(run.run_id, fence=1, facts=facts_of_batch, batch=batch)
        await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

        short = await backend.store.retold(run.run_id)

        words = [f"{batch}.{number} " for batch in range(1, 22) for number in range(500)]
        assert kinds(short) == ["start", "snapshot", "final", "end"]
        assert FieldTexts.of(facts(short)).text("answer") == "".join(words)
        assert short[-1].seq == (await backend.store.get(run.run_id)).last_seq

    async def test_what_was_trimmed_is_not_told_without_the_rest_of_the_log(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store, a_new_run(key="k"))
        for batch in range(1, 22):
            await backend.store.append(run.run_id, fence=1, facts=[a_token("x")] * 500, batch=batch)
        await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])
        before = kinds(await backend.store.trimmed(run.run_id))

        await backend.let_time_pass(HOUR)

        assert before == ["start", "snapshot"]
        assert await backend.store.trimmed(run.run_id) == []
        assert kinds(await backend.store.retold(run.run_id)) == ["start", "snapshot", "final", "end"]

    async def test_a_deleted_run_is_told_no_more(self, backend: RunBackend) -> None:
        ended = await completed(backend.store, a_new_run(key="k"))

        await backend.store.delete(ended.run_id)

        assert await backend.store.retold(ended.run_id) == []


class TestRetellingInMemory(RunsInMemory, RetellingContract):
    pass


class TestRetellingOnRedis(RunsOnRedis, RetellingContract):
    pass


class TestRetellingWithLostReplies(RunsOnRedisWithLostReplies, RetellingContract):
    pass
