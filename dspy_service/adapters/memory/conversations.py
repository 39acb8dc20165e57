"""Conversations in memory."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dspy_service.domain.serving.conversation import Answer, Conversation, Feedback, Message, NewConversation
from dspy_service.domain.serving.errors import ConversationNotFoundError, LimitReachedError

if TYPE_CHECKING:
    from dspy_service.ports.serving.conversations import ConversationStore


@dataclass
class _Record:
    """One conversation with its messages, in the order in which they came."""

    conversation: Conversation
    changes: int
    """Sorts by the last change, also where the clock stands still."""
    messages: dict[str, Message] = field(default_factory=dict)
    last_place: int = 0
    places: dict[str, int] = field(default_factory=dict)
    """Of each message."""


class MemoryConversationStore:
    """Conversations of one process; ``clock`` may be any function that returns UTC times."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._records: dict[str, _Record] = {}
        self._changes = 0

    async def create(self, new: NewConversation, *, max_conversations: int = 0) -> Conversation:
        """Record an empty conversation."""
        now = self._clock()
        if 0 < max_conversations <= sum(each.conversation.tenant == new.tenant for each in self._records.values()):
            raise LimitReachedError("conversations", max_conversations)
        conversation = Conversation(**dict(new), created_at=now, updated_at=now)
        self._changes += 1
        self._records[new.conversation_id] = _Record(conversation, self._changes)
        return conversation

    async def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation."""
        return self._record(tenant, conversation_id).conversation

    async def page(
        self, tenant: str, *, owner: str | None = None, after: str | None = None, limit: int = 20
    ) -> tuple[list[Conversation], bool]:
        """Return conversations, the one that changed last first, and whether there are more."""
        records = sorted(self._records.values(), key=lambda each: each.changes, reverse=True)
        all_of_them = [each.conversation for each in records if each.conversation.tenant == tenant]
        found = [each for each in all_of_them if owner in (None, each.owner)]
        if after is not None:
            ids = [each.conversation_id for each in found]
            if after not in ids:
                raise ConversationNotFoundError(after)
            found = found[ids.index(after) + 1 :]
        return found[:limit], len(found) > limit

    async def change(
        self, tenant: str, conversation_id: str, *, title: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Conversation:
        """Set what is not None."""
        record = self._record(tenant, conversation_id)
        wanted = {"title": title, "metadata": None if metadata is None else dict(metadata)}
        return self._changed(record, **{name: value for name, value in wanted.items() if value is not None})

    async def delete(self, tenant: str, conversation_id: str) -> list[str]:
        """Forget it with its messages, and return the runs that still write in it."""
        runs = _writing(self._record(tenant, conversation_id))
        del self._records[conversation_id]
        return runs

    async def unchanged(self, *, seconds: float, limit: int = 100) -> list[tuple[str, str]]:
        """Return tenant and id of conversations in which nothing has changed for so long."""
        until = self._clock() - timedelta(seconds=seconds)
        all_of_them = [each.conversation for each in self._records.values()]
        return [(each.tenant, each.conversation_id) for each in all_of_them if each.updated_at <= until][:limit]

    async def add(self, tenant: str, messages: Sequence[Message], *, max_messages: int = 0) -> int:
        """Append messages of one conversation, each behind the one before, and show their branch."""
        record = self._record(tenant, messages[0].conversation_id)
        if messages[0].message_id in record.messages:
            return record.places[messages[0].message_id]
        parent = messages[0].parent_id
        if parent is None:
            parent = record.conversation.head_id
        else:
            self._message(record, parent)
        if 0 < max_messages < len(record.messages) + len(messages):
            raise LimitReachedError("messages", max_messages)
        record.last_place += 1
        for message in messages:
            record.messages[message.message_id] = message.model_copy(update={"parent_id": parent})
            record.places[message.message_id] = record.last_place
            parent = message.message_id
        self._changed(record, head_id=parent)
        return record.last_place

    async def answer(self, tenant: str, conversation_id: str, message_id: str, answer: Answer) -> Message:
        """Write what an assistant's message has come to; its place stays."""
        record = self._record(tenant, conversation_id)
        message = self._message(record, message_id).model_copy(update=dict(answer))
        record.messages[message_id] = message
        self._changed(record)
        return message

    async def take_back(self, tenant: str, conversation_id: str, message_id: str) -> Conversation:
        """Remove an answer, and the question that nothing else answers."""
        record = self._record(tenant, conversation_id)
        answer = record.messages.get(message_id)
        if answer is None:
            return record.conversation
        self._remove(record, answer)
        question = record.messages.get(answer.parent_id or "")
        others = [each for each in record.messages.values() if each.parent_id == answer.parent_id]
        if question is not None and question.role == "user" and all(each.role == "user" for each in others):
            self._remove(record, question)
        return self._changed(record)

    async def messages(
        self, tenant: str, conversation_id: str, *, head_id: str | None = None, limit: int = 100
    ) -> list[Message]:
        """Return the newest messages of a branch, oldest first."""
        record = self._record(tenant, conversation_id)
        if head_id is not None:
            self._message(record, head_id)
        found: list[Message] = []
        at = head_id or record.conversation.head_id
        while at is not None and len(found) < limit:
            found.append(record.messages[at])
            at = found[-1].parent_id
        return found[::-1]

    async def rate(self, tenant: str, conversation_id: str, message_id: str, feedback: Feedback | None) -> Message:
        """Set or take back what somebody thought of an answer."""
        record = self._record(tenant, conversation_id)
        message = self._message(record, message_id).model_copy(update={"feedback": feedback})
        record.messages[message_id] = message
        return message

    async def rated(self, tenant: str) -> AsyncGenerator[tuple[Conversation, Message], None]:
        """Yield each rated answer with its conversation, in the order of their ids."""
        for conversation_id, record in sorted(self._records.items()):
            if record.conversation.tenant == tenant:
                for _, message in sorted(record.messages.items()):
                    if message.feedback is not None:
                        yield self._records[conversation_id].conversation, message

    async def aclose(self) -> None:
        """Nothing to release."""

    def _record(self, tenant: str, conversation_id: str) -> _Record:
        record = self._records.get(conversation_id)
        if record is None or record.conversation.tenant != tenant:
            raise ConversationNotFoundError(conversation_id)
        return record

    def _message(self, record: _Record, message_id: str) -> Message:
        if message_id not in record.messages:
            raise ConversationNotFoundError(message_id)
        return record.messages[message_id]

    def _remove(self, record: _Record, removed: Message) -> None:
        """Remove one message; what followed it follows what was before it."""
        del record.messages[removed.message_id]
        for message in list(record.messages.values()):
            if message.parent_id == removed.message_id:
                record.messages[message.message_id] = message.model_copy(update={"parent_id": removed.parent_id})
        if record.conversation.head_id == removed.message_id:
            newest = next(reversed(record.messages), None)
            record.conversation = record.conversation.model_copy(update={"head_id": newest})

    def _changed(self, record: _Record, **changes: object) -> Conversation:
        writing = _writing(record)
        counted = {
            "message_count": len(record.messages),
            "total_tokens": sum(each.usage.total_tokens for each in record.messages.values() if each.usage),
            "active_run_id": writing[0] if writing else None,
            "updated_at": max(self._clock(), record.conversation.updated_at),
        }
        record.conversation = record.conversation.model_copy(update={**changes, **counted})
        self._changes += 1
        record.changes = self._changes
        return record.conversation


def _writing(record: _Record) -> list[str]:
    return [each.run_id for each in record.messages.values() if each.status == "writing" and each.run_id]


if TYPE_CHECKING:
    _proof: ConversationStore = MemoryConversationStore()
