"""Messages that are sent to one conversation at once stand in the order in which they are answered."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from dspy_service.adapters.memory import MemoryConversationStore, MemoryRunStore
from dspy_service.domain.serving.conversation import Message
from dspy_service.domain.serving.errors import TurnOvertakenError
from dspy_service.domain.serving.run import MultitaskStrategy, NewRun, Run
from dspy_service.domain.serving.run_events import RunFact
from dspy_service.usecases.serving.chat import take_turn
from dspy_service.usecases.serving.start_run import Invocation
from tests.support.conversation_samples import NOW, a_new_conversation, ids
from tests.support.crowded_turns import CROWD, answer_all, in_turns, send_at_once, transcript
from tests.unit.usecases.serving.test_chat import VERSION


class SlowRuns(MemoryRunStore):
    """Hears of runs in another order than they are sent in."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._dice = random.Random(seed)  # noqa: S311  # of a test
        self.refusals = 0

    async def create(
        self,
        new: NewRun,
        *,
        start: RunFact,
        multitask: MultitaskStrategy = "enqueue",
        max_live_runs: int = 0,
        place: int = 0,
    ) -> tuple[Run, bool]:
        for _ in range(self._dice.randrange(2 * CROWD)):
            await asyncio.sleep(0)
        try:
            return await super().create(new, start=start, multitask=multitask, max_live_runs=max_live_runs, place=place)
        except TurnOvertakenError:
            self.refusals += 1
            raise


class OvertakenRuns(MemoryRunStore):
    """Somebody else is always faster."""

    async def create(
        self,
        new: NewRun,
        *,
        start: RunFact,
        multitask: MultitaskStrategy = "enqueue",
        max_live_runs: int = 0,
        place: int = 0,
    ) -> tuple[Run, bool]:
        await super().create(new, start=start, multitask=multitask, max_live_runs=max_live_runs, place=place)
        raise TurnOvertakenError(new.conversation_id or "")


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_messages_that_wait_for_each_other_are_answered_in_the_order_of_the_transcript(seed: int) -> None:
    conversations, runs = MemoryConversationStore(), SlowRuns(seed)
    conversation = await conversations.create(a_new_conversation())
    sent = await send_at_once(conversation, [(conversations, runs)], multitask="enqueue", seed=seed)

    answered = await answer_all(conversations, runs)

    assert runs.refusals > 0
    assert sorted(answered) == sorted(run.run_id for run in sent)
    assert await transcript(conversations, "conv_1") == in_turns(answered)


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_the_last_message_of_the_transcript_is_the_one_that_interrupts_all_others(seed: int) -> None:
    conversations, runs = MemoryConversationStore(), SlowRuns(seed)
    conversation = await conversations.create(a_new_conversation())
    await send_at_once(conversation, [(conversations, runs)], multitask="interrupt", seed=seed)

    answered = await answer_all(conversations, runs)

    shown = await transcript(conversations, "conv_1")
    assert runs.refusals > 0
    assert len(shown) == 2 * CROWD
    assert [shown[-1]] == [("assistant", run_id) for run_id in answered]


async def test_a_message_that_is_overtaken_again_and_again_leaves_nothing() -> None:
    conversations, call = MemoryConversationStore(), Invocation(tenant="local", version=VERSION, inputs={})
    conversation = await conversations.create(a_new_conversation())

    with pytest.raises(TurnOvertakenError, match="send this one again"):
        await take_turn(
            "hi", call, conversation=conversation, now=NOW, conversations=conversations, runs=OvertakenRuns()
        )

    assert await ids(conversations) == []


async def test_a_new_conversation_in_which_somebody_else_was_faster_keeps_his_message() -> None:
    class Visited(MemoryConversationStore):
        """Somebody writes to a conversation as soon as it is there."""

        async def add(self, tenant: str, messages: Sequence[Message], *, max_messages: int = 0) -> int:
            place = await super().add(tenant, messages, max_messages=max_messages)
            if place == 1:
                visitor = [each.model_copy(update={"message_id": f"{each.message_id}_v"}) for each in messages]
                await super().add(tenant, visitor)
                new = NewRun(run_id="run_v", tenant=tenant, program="p", version=1, inputs={}, conversation_id="conv_1")
                start = (await runs.events(first.run_id))[0].fact
                await runs.create(new, start=start, place=2)
            return place

    conversations, runs = Visited(), MemoryRunStore()
    call = Invocation(tenant="local", version=VERSION, inputs={})
    first = await take_turn(
        "hi",
        call,
        conversation=a_new_conversation("conv_0"),
        now=NOW,
        conversations=MemoryConversationStore(),
        runs=runs,
    )

    run = await take_turn(
        "hi", call, conversation=a_new_conversation(), now=NOW, conversations=conversations, runs=runs
    )

    shown = await ids(conversations)
    assert [each.endswith("_v") for each in shown] == [True, True, False, False]
    assert shown[-1] == run.message_id
