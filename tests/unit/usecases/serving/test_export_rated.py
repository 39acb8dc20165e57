"""Rated answers become rows also when their program, or they themselves, have gone meanwhile."""

from collections.abc import Sequence

from pydantic import JsonValue

from dspy_service.adapters.memory import MemoryConversationStore, MemoryProgramStore
from dspy_service.domain.serving.conversation import Feedback, Message
from dspy_service.domain.serving.errors import ConversationNotFoundError
from dspy_service.usecases.serving.export import export_rated
from tests.support.conversation_samples import a_new_conversation, talk
from tests.support.served_programs import a_field, a_new_version, an_interface

UP = Feedback(rating="up")
WITH_HISTORY = an_interface(a_field("question"), a_field("past", type_name="dspy.History"), a_field("answer", "output"))


class Vanishing(MemoryConversationStore):
    """Forgets a conversation between its rating and its messages."""

    async def messages(
        self, tenant: str, conversation_id: str, *, head_id: str | None = None, limit: int = 100
    ) -> list[Message]:
        raise ConversationNotFoundError(f"{tenant} {conversation_id} {head_id} {limit}")


async def rows(conversations: MemoryConversationStore, programs: MemoryProgramStore) -> Sequence[dict[str, JsonValue]]:
    told = export_rated(tenant="local", program=None, owner=None, conversations=conversations, programs=programs)
    return [row async for row in told]


async def rated(conversations: MemoryConversationStore) -> MemoryConversationStore:
    await conversations.create(a_new_conversation())
    await talk(conversations, 1, 2)
    await conversations.rate("local", "conv_1", "a1", UP)
    await conversations.rate("local", "conv_1", "a2", UP)
    return conversations


async def test_a_program_that_is_no_longer_served_gives_rows_without_a_history() -> None:
    found = await rows(await rated(MemoryConversationStore()), MemoryProgramStore())

    assert [row["question"] for row in found] == ["question 1", "question 2"]
    assert all(set(row) == {"question", "answer", "scores"} for row in found)


async def test_a_program_with_a_history_gets_the_turns_before() -> None:
    programs = MemoryProgramStore()
    await programs.add_version(a_new_version(interface=WITH_HISTORY))

    first, second = await rows(await rated(MemoryConversationStore()), programs)

    assert first["past"] == {"messages": []}
    assert second["past"] == {"messages": [{"question": "question 1", "answer": "answer 1"}]}


async def test_what_was_deleted_meanwhile_is_left_out() -> None:
    assert await rows(await rated(Vanishing()), MemoryProgramStore()) == []
