"""Many messages to one conversation at once, and what its transcript comes to."""

import asyncio
import random
from collections.abc import Sequence

from dspy_service.domain.serving.conversation import Answer, Conversation
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import MultitaskStrategy, Run
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.runs import RunStore
from dspy_service.usecases.serving.chat import take_turn
from dspy_service.usecases.serving.start_run import Invocation
from tests.support.conversation_samples import NOW
from tests.support.run_samples import COMPLETED, taken
from tests.support.served_programs import a_new_version

CROWD = 20
_VERSION = ProgramVersion(**dict(a_new_version()), version=1, created_at=NOW)


async def send_at_once(
    conversation: Conversation,
    doors: Sequence[tuple[ConversationStore, RunStore]],
    *,
    multitask: MultitaskStrategy,
    seed: int,
) -> list[Run]:
    """Send as many messages as make a crowd, each through the next of the doors, and return their runs."""
    dice = random.Random(seed)  # noqa: S311  # of a test
    call = Invocation(tenant="local", version=_VERSION, inputs={}, multitask=multitask)

    async def send(number: int, turns: int) -> Run:
        for _ in range(turns):
            await asyncio.sleep(0)
        conversations, runs = doors[number % len(doors)]
        return await take_turn(
            f"message {number}", call, conversation=conversation, now=NOW, conversations=conversations, runs=runs
        )

    return await asyncio.gather(*(send(number, dice.randrange(CROWD)) for number in range(CROWD)))


async def answer_all(conversations: ConversationStore, runs: RunStore) -> list[str]:
    """Carry out what waits, one after the other, and return the runs in this order."""
    order: list[str] = []
    while (run_id := await runs.next_run()) is not None:
        run = await taken(runs, await runs.get(run_id))
        answer = Answer(text=f"answer {len(order)}", status="complete")
        await conversations.answer("local", run.conversation_id or "", run.message_id or "", answer)
        await runs.finish(run_id, fence=run.fence, outcome=COMPLETED, facts=[])
        order.append(run_id)
    return order


async def transcript(conversations: ConversationStore, conversation_id: str) -> list[tuple[str, str | None]]:
    """Return role and run of each message that is shown, oldest first."""
    messages = await conversations.messages("local", conversation_id, limit=10 * CROWD)
    return [(each.role, each.run_id) for each in messages]


def in_turns(run_ids: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the transcript that these runs should come to."""
    return [line for run_id in run_ids for line in (("user", None), ("assistant", run_id))]
