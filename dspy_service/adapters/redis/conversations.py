"""Conversations on Redis; ``key_names`` says where."""

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.key_names import CONVERSATIONS, conversation_key, conversations_key
from dspy_service.adapters.redis.records import from_micros, to_micros
from dspy_service.domain.serving.conversation import Answer, Conversation, Feedback, Message, NewConversation
from dspy_service.domain.serving.errors import ConversationNotFoundError, LimitReachedError

if TYPE_CHECKING:
    from dspy_service.ports.serving.conversations import ConversationStore

_RATED_AT_ONCE = 100
_SAID = frozenset(Answer.model_fields)
_APART = _SAID | {"parent_id", "feedback"}


class RedisConversationStore:
    """Conversations in the Redis (or Valkey) at ``url``."""

    def __init__(self, url: str) -> None:
        self._client = RedisClient(url)

    async def create(self, new: NewConversation, *, max_conversations: int = 0) -> Conversation:
        """Record an empty conversation."""
        metadata = pydantic_core.to_json(new.metadata).decode()
        args = (new.tenant, new.owner, new.program, new.title or "", metadata, max_conversations)
        found = await self._run("create", new.conversation_id, *args)
        if found == "full":
            raise LimitReachedError("conversations", max_conversations)
        return _conversation(found)

    async def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation."""
        return _conversation(await self._run("get", conversation_id, tenant))

    async def page(
        self, tenant: str, *, owner: str | None = None, after: str | None = None, limit: int = 20
    ) -> tuple[list[Conversation], bool]:
        """Return conversations, the one that changed last first, and whether there are more."""
        key = conversations_key(tenant, owner)
        found = await self._client.run("conversations/page", keys=[key], args=(after or "", limit))
        if found is None:
            raise ConversationNotFoundError(after or "")
        return [_conversation(record) for record in found[:limit]], len(found) > limit

    async def change(
        self, tenant: str, conversation_id: str, *, title: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Conversation:
        """Set what is not None."""
        args = [tenant]
        if title is not None:
            args += ["title", title]
        if metadata is not None:
            args += ["metadata", pydantic_core.to_json(dict(metadata)).decode()]
        return _conversation(await self._run("change", conversation_id, *args))

    async def delete(self, tenant: str, conversation_id: str) -> list[str]:
        """Forget it with its messages, and return the runs that still write in it."""
        runs: str = await self._run("delete", conversation_id, tenant, secrets.token_hex(8))
        return runs.split()

    async def unchanged(self, *, seconds: float, limit: int = 100) -> list[tuple[str, str]]:
        """Return tenant and id of conversations in which nothing has changed for so long."""
        args = (to_micros(seconds), limit)
        found = await self._client.run("conversations/unchanged", keys=[CONVERSATIONS], args=args)
        return [(tenant, conversation_id) for tenant, conversation_id in found]

    async def add(self, tenant: str, messages: Sequence[Message], *, max_messages: int = 0) -> int:
        """Append messages of one conversation, each behind the one before, and show their branch."""
        parent = messages[0].parent_id or ""
        args: list[str | int] = [tenant, parent, max_messages]
        for each in messages:
            fixed = each.model_dump_json(exclude=set(_APART))
            said = each.model_dump_json(include=set(_SAID))
            args += [each.message_id, each.run_id or "", each.status, fixed, said]
        found = await self._run("add", messages[0].conversation_id, *args, message_id=parent)
        if found == "full":
            raise LimitReachedError("messages", max_messages)
        return int(found)

    async def answer(self, tenant: str, conversation_id: str, message_id: str, answer: Answer) -> Message:
        """Write what an assistant's message has come to; its place stays."""
        args = (tenant, message_id, answer.status, answer.model_dump_json(), answer.tokens)
        return _message(await self._run("answer", conversation_id, *args, message_id=message_id))

    async def take_back(self, tenant: str, conversation_id: str, message_id: str) -> Conversation:
        """Remove an answer, and the question that nothing else answers."""
        return _conversation(await self._run("take_back", conversation_id, tenant, message_id))

    async def messages(
        self, tenant: str, conversation_id: str, *, head_id: str | None = None, limit: int = 100
    ) -> list[Message]:
        """Return the newest messages of a branch, oldest first."""
        args = (tenant, head_id or "", limit)
        found = await self._run("messages", conversation_id, *args, message_id=head_id or "")
        return [_message(each) for each in reversed(found)]

    async def rate(self, tenant: str, conversation_id: str, message_id: str, feedback: Feedback | None) -> Message:
        """Set or take back what somebody thought of an answer."""
        args = (tenant, message_id, "" if feedback is None else feedback.model_dump_json())
        return _message(await self._run("rate", conversation_id, *args, message_id=message_id))

    async def rated(self, tenant: str) -> AsyncGenerator[tuple[Conversation, Message], None]:
        """Yield each rated answer with its conversation, in the order of their ids."""
        keys, place = [f"{conversations_key(tenant)}:rated"], ""
        while True:
            found = await self._client.run("conversations/rated", keys=keys, args=(place, _RATED_AT_ONCE))
            for place, record, message in found:  # noqa: B007  # the last one is where the next page begins
                yield _conversation(record), _message(message)
            if len(found) < _RATED_AT_ONCE:
                return

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _run(self, verb: str, conversation_id: str, *args: str | int, message_id: str = "") -> Any:  # noqa: ANN401  # as many shapes as scripts
        """Run a script about one conversation. Raises ConversationNotFoundError."""
        found = await self._client.run(f"conversations/{verb}", keys=[conversation_key(conversation_id)], args=args)
        if found is None:
            raise ConversationNotFoundError(conversation_id)
        if found == "absent":
            raise ConversationNotFoundError(message_id)
        return found


def _conversation(found: Sequence[Any]) -> Conversation:
    conversation_id, flat, active_run_id = found
    record = _paired(flat)
    return Conversation(
        conversation_id=conversation_id,
        tenant=record["tenant"],
        owner=record["owner"],
        program=record["program"],
        title=record["title"] or None,
        metadata=pydantic_core.from_json(record["metadata"]),
        created_at=from_micros(record["created"]),
        updated_at=from_micros(record["updated"]),
        message_count=int(record["count"]),
        total_tokens=int(record["tokens"]),
        head_id=record["head"] or None,
        active_run_id=active_run_id or None,
    )


def _message(flat: Sequence[str]) -> Message:
    record = _paired(flat)
    feedback = record.get("feedback")
    fields: dict[str, Any] = {
        **pydantic_core.from_json(record["fixed"]),
        **pydantic_core.from_json(record["said"]),
        "parent_id": record["parent"] or None,
        "feedback": None if feedback is None else pydantic_core.from_json(feedback),
    }
    return Message.model_validate_json(pydantic_core.to_json(fields))


def _paired(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


if TYPE_CHECKING:
    _proof: ConversationStore = RedisConversationStore("redis://")
