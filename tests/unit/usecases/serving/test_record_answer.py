"""What a run has come to stands in its conversation, however it ended."""

from datetime import timedelta

import pytest

from dspy_service.adapters.memory import MemoryConversationStore, MemoryProgramStore, MemoryRunStore
from dspy_service.domain.result import Usage
from dspy_service.domain.serving.conversation import Message
from dspy_service.domain.serving.run import Run, RunError, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import (
    Cancelled,
    Failed,
    FieldDone,
    Predicted,
    RunFact,
    SourceCited,
    SourcesFound,
    TextReplaced,
    TokenWritten,
)
from dspy_service.usecases.serving.recall import recall
from dspy_service.usecases.serving.record_answer import record_answer, settle_messages
from tests.support.conversation_samples import NOW, a_new_conversation, a_question, a_reply, ids, talk
from tests.support.run_samples import a_new_run, in_progress, queued
from tests.support.served_programs import a_field, a_new_version, an_interface
from tests.support.webhooks import Clock

COMPLETED = RunOutcome(status=RunStatus.COMPLETED, usage=Usage(total_tokens=7))
FAILED = RunOutcome(status=RunStatus.FAILED, error=RunError(code="lm_timeout", message="Late."))
CANCELLED = RunOutcome(status=RunStatus.CANCELLED)
TOKEN = TokenWritten(field="answer", predictor="self", text="Blu", offset=0)
REASONING = TokenWritten(type="reasoning", field="reasoning", predictor="self", text="Hm.", offset=0)


class Stage:
    """A conversation with one turn that waits for its answer."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.runs = MemoryRunStore(clock=self.clock)
        self.conversations = MemoryConversationStore()
        self.programs = MemoryProgramStore()

    async def record(self, outcome: RunOutcome, *facts: RunFact, run: Run | None = None) -> Message | None:
        if run is None:
            run = Run(**dict(a_new_run(conversation_id="conv_1")), created_at=NOW)
        run = run.model_copy(update={"message_id": "a1"})
        return await record_answer(
            run, outcome, facts, runs=self.runs, conversations=self.conversations, programs=self.programs
        )

    async def settle(self, *, seconds_later: float = 0) -> list[Message]:
        messages = await self.conversations.messages("local", "conv_1")
        return await settle_messages(
            messages,
            tenant="local",
            now=NOW + timedelta(seconds=seconds_later),
            runs=self.runs,
            conversations=self.conversations,
            programs=self.programs,
        )

    async def asked(self, run: Run) -> None:
        """Add a turn that the run is to answer."""
        await self.conversations.add("local", [a_question(1), a_reply(1, run_id=run.run_id)])


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    fields = [a_field("question"), a_field("reasoning", "output"), a_field("answer", "output")]
    await stage.programs.add_version(a_new_version("qa", interface=an_interface(*fields)))
    await stage.conversations.create(a_new_conversation(program="qa"))
    return stage


@pytest.fixture
async def waiting(stage: Stage) -> Stage:
    await stage.conversations.add("local", [a_question(1), a_reply(1)])
    return stage


async def test_a_prediction_is_the_answer(waiting: Stage) -> None:
    prediction = {"reasoning": "Hm.", "answer": "Blue.", "sources": ["p1"]}
    facts = (TOKEN, Predicted(prediction=prediction, answer="Blue.", usage=None))

    written = await waiting.record(COMPLETED, *facts)
    again = await waiting.record(COMPLETED, *facts)

    assert written is not None
    assert (written.text, written.fields, written.status) == ("Blue.", prediction, "complete")
    assert [source.id for source in written.sources] == ["p1"]
    assert again == written
    assert (await waiting.conversations.get("local", "conv_1")).total_tokens == 7


async def test_what_was_retrieved_goes_before_what_the_program_names(waiting: Stage) -> None:
    found = SourceCited(id="p1", title="Paper")

    written = await waiting.record(
        COMPLETED,
        SourcesFound(sources=[found]),
        Predicted(prediction={"answer": "Blue.", "sources": ["x"]}, answer="Blue.", usage=None),
    )

    assert written is not None
    assert written.sources == [found]


async def test_outputs_without_an_answer_are_the_text(waiting: Stage) -> None:
    written = await waiting.record(
        COMPLETED, Predicted(prediction={"reasoning": "Hm.", "label": "a"}, answer=None, usage=None)
    )

    assert written is not None
    assert written.text == '{"label": "a"}'


@pytest.mark.parametrize(
    ("outcome", "facts", "status", "text"),
    [
        pytest.param(FAILED, [TOKEN, Failed(error=FAILED.error, partial=True)], "partial", "Blu", id="failed later"),
        pytest.param(FAILED, [Failed(error=FAILED.error, partial=False)], "failed", "", id="failed at once"),
        pytest.param(FAILED, [REASONING], "failed", "", id="failed while reasoning"),
        pytest.param(CANCELLED, [TOKEN, Cancelled(reason="asked")], "cancelled", "Blu", id="cancelled"),
        pytest.param(
            CANCELLED,
            [TOKEN, TextReplaced(field="answer", predictor="self", text="Red"), Cancelled(reason="interrupted")],
            "cancelled",
            "Red",
            id="replaced",
        ),
    ],
)
async def test_part_of_an_answer_is_kept(
    waiting: Stage, outcome: RunOutcome, facts: list[RunFact], status: str, text: str
) -> None:
    written = await waiting.record(outcome, *facts)

    assert written is not None
    assert (written.status, written.text) == (status, text)


async def test_fields_that_were_done_are_kept(waiting: Stage) -> None:
    written = await waiting.record(FAILED, REASONING, FieldDone(field="score", predictor="self", value=3), TOKEN)

    assert written is not None
    assert written.fields == {"reasoning": "Hm.", "score": 3, "answer": "Blu"}


async def test_a_cut_answer_is_partial(waiting: Stage) -> None:
    final = Predicted(prediction={"answer": "Blue"}, answer="Blue", usage=None, finish_reason="length")

    written = await waiting.record(RunOutcome(status=RunStatus.INCOMPLETE), final)

    assert written is not None
    assert (written.status, written.text) == ("partial", "Blue")


async def test_a_rollback_takes_the_turn_back(waiting: Stage) -> None:
    written = await waiting.record(CANCELLED, TOKEN, Cancelled(reason="rolled_back"))
    again = await waiting.record(CANCELLED, TOKEN, Cancelled(reason="rolled_back"))

    assert (written, again) == (None, None)
    assert await ids(waiting.conversations) == []


async def test_runs_without_a_message_change_nothing(waiting: Stage) -> None:
    run = Run(**dict(a_new_run()), created_at=NOW)

    assert await waiting.record(COMPLETED, TOKEN, run=run) is None
    assert (await waiting.conversations.messages("local", "conv_1"))[1].status == "writing"


async def test_a_conversation_that_was_deleted_is_left_alone(waiting: Stage) -> None:
    await waiting.conversations.delete("local", "conv_1")

    assert await waiting.record(COMPLETED, TOKEN) is None


async def test_a_run_that_ended_in_the_queue_is_settled_when_its_message_is_read(stage: Stage) -> None:
    run = await queued(stage.runs, a_new_run(conversation_id="conv_1").model_copy(update={"message_id": "a1"}))
    await stage.asked(run)
    await stage.runs.cancel(run.run_id, reason="asked")

    _, answer = await stage.settle()

    assert (answer.status, answer.text) == ("cancelled", "")
    assert (await stage.conversations.get("local", "conv_1")).active_run_id is None


async def test_a_run_whose_worker_was_lost_is_settled_with_what_its_log_has(stage: Stage) -> None:
    new = a_new_run(conversation_id="conv_1").model_copy(update={"message_id": "a1"})
    run = await in_progress(stage.runs, new)
    await stage.asked(run)
    await stage.runs.append(run.run_id, fence=run.fence, facts=[TOKEN], batch=1)
    await stage.runs.finish(run.run_id, fence=run.fence, outcome=FAILED, facts=[])

    _, answer = await stage.settle()

    assert (answer.status, answer.text) == ("partial", "Blu")


async def test_a_run_whose_log_has_gone_is_settled_with_what_is_told_of_it(stage: Stage) -> None:
    new = a_new_run(conversation_id="conv_1", key="k").model_copy(update={"message_id": "a1"})
    run = await in_progress(stage.runs, new)
    await stage.asked(run)
    await stage.runs.append(run.run_id, fence=1, facts=[TOKEN], batch=1)
    await stage.runs.lose(["w1"])
    stage.clock.seconds += 3600

    _, answer = await stage.settle()

    assert (answer.status, answer.text) == ("partial", "Blu")


async def test_a_run_that_goes_on_is_left_alone(stage: Stage) -> None:
    run = await in_progress(stage.runs)
    await stage.asked(run)

    _, answer = await stage.settle(seconds_later=1000)

    assert answer.status == "writing"


async def test_a_message_whose_run_never_came_has_failed_after_a_minute(waiting: Stage) -> None:
    _, soon = await waiting.settle(seconds_later=10)
    _, later = await waiting.settle(seconds_later=61)

    assert (soon.status, later.status) == ("writing", "failed")
    assert (await waiting.conversations.messages("local", "conv_1"))[1].status == "failed"


async def test_only_answers_are_recalled(stage: Stage) -> None:
    await talk(stage.conversations, 1)
    await stage.conversations.add("local", [a_question(2), a_reply(2, status="failed")])
    await stage.conversations.add("local", [a_question(3), a_reply(3)])
    run = Run(**dict(a_new_run(conversation_id="conv_1")), created_at=NOW).model_copy(update={"message_id": "a3"})

    recalled = await recall(run, now=NOW, runs=stage.runs, conversations=stage.conversations, programs=stage.programs)

    question = run.inputs["question"]
    assert recalled.inputs["question"] == (f"User: question 1\nAssistant: answer 1 é \U0001f600\nUser: {question}")


async def test_a_run_of_a_deleted_conversation_recalls_nothing(stage: Stage) -> None:
    run = Run(**dict(a_new_run(conversation_id="conv_9")), created_at=NOW).model_copy(update={"message_id": "a3"})

    recalled = await recall(run, now=NOW, runs=stage.runs, conversations=stage.conversations, programs=stage.programs)

    assert recalled == run


async def test_a_run_without_a_conversation_recalls_nothing(stage: Stage) -> None:
    run = Run(**dict(a_new_run()), created_at=NOW)

    recalled = await recall(run, now=NOW, runs=stage.runs, conversations=stage.conversations, programs=stage.programs)

    assert recalled is run


async def test_the_answer_of_a_program_that_has_gone_is_recorded(waiting: Stage) -> None:
    waiting.programs = MemoryProgramStore()

    written = await waiting.record(COMPLETED, Predicted(prediction={"answer": "Blue"}, answer="Blue", usage=None))

    assert written is not None
    assert written.text == "Blue"


async def test_a_message_that_is_deleted_while_it_is_settled_is_left_out(waiting: Stage) -> None:
    messages = await waiting.conversations.messages("local", "conv_1")
    await waiting.conversations.delete("local", "conv_1")

    settled = await settle_messages(
        messages,
        tenant="local",
        now=NOW + timedelta(hours=1),
        runs=waiting.runs,
        conversations=waiting.conversations,
        programs=waiting.programs,
    )

    assert [message.message_id for message in settled] == ["u1"]
