"""Conversations and their messages."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from dspy_service.domain.serving.conversation import Answer, Conversation, Feedback, Message, NewConversation


class ConversationStore(Protocol):
    """What was said; every verb is one atomic step.

    All raise ConversationNotFoundError for a conversation or a message that does not exist, or is another tenant's.
    """

    async def create(self, new: NewConversation, *, max_conversations: int = 0) -> Conversation:
        """Record an empty conversation.

        Raises:
            LimitReachedError: the tenant has so many; 0: any number.
        """
        ...

    async def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Return a conversation."""
        ...

    async def page(
        self, tenant: str, *, owner: str | None = None, after: str | None = None, limit: int = 20
    ) -> tuple[list[Conversation], bool]:
        """Return conversations, the one that changed last first, and whether there are more.

        Args:
            tenant: Whose.
            owner: Only this owner's; None: everybody's of the tenant.
            after: The last conversation of the page before.
            limit: How many.
        """
        ...

    async def change(
        self, tenant: str, conversation_id: str, *, title: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Conversation:
        """Set what is not None."""
        ...

    async def delete(self, tenant: str, conversation_id: str) -> list[str]:
        """Forget it with its messages and ratings, and return the runs that still write in it, oldest first."""
        ...

    async def unchanged(self, *, seconds: float, limit: int = 100) -> list[tuple[str, str]]:
        """Return tenant and id of conversations of all tenants in which nothing has changed for so long."""
        ...

    async def add(self, tenant: str, messages: Sequence[Message], *, max_messages: int = 0) -> int:
        """Append messages of one conversation, each behind the one before, and show their branch.

        The first of them follows the message that it names, or else the newest of the branch that is shown. Messages
        that are there already change nothing.

        Returns:
            Their place, for ``RunRecords.create``: it rises from 1 with each call about a conversation.

        Raises:
            LimitReachedError: the conversation would have more than so many, of all branches; 0: any number.
        """
        ...

    async def answer(self, tenant: str, conversation_id: str, message_id: str, answer: Answer) -> Message:
        """Write what an assistant's message has come to; its place stays."""
        ...

    async def take_back(self, tenant: str, conversation_id: str, message_id: str) -> Conversation:
        """Remove an answer, and the question that nothing else answers; what followed follows what was before.

        When the head of the shown branch goes, the newest message that is left takes its place. A message that is not
        there changes nothing.
        """
        ...

    async def messages(
        self, tenant: str, conversation_id: str, *, head_id: str | None = None, limit: int = 100
    ) -> list[Message]:
        """Return the newest messages of the branch that ends in ``head_id`` (None: the shown one), oldest first."""
        ...

    async def rate(self, tenant: str, conversation_id: str, message_id: str, feedback: Feedback | None) -> Message:
        """Set or take back what somebody thought of an answer."""
        ...

    def rated(self, tenant: str) -> AsyncGenerator[tuple[Conversation, Message], None]:
        """Yield each rated answer with its conversation, in the order of their ids."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
