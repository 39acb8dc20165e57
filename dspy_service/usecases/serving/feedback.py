"""Notes what somebody thought of an answer."""

from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.serving.conversation import Conversation, Feedback, Message
from dspy_service.ports.serving.conversations import ConversationStore


async def rate_answer(
    conversation: Conversation, message_id: str, feedback: Feedback | None, *, conversations: ConversationStore
) -> Message:
    """Set, or with None take back, the rating of an answer.

    Raises:
        ConversationNotFoundError: there is no such message.
        UnsupportedRequestError: it is a question, or is still being written.
    """
    tenant, conversation_id = conversation.tenant, conversation.conversation_id
    *_, message = await conversations.messages(tenant, conversation_id, head_id=message_id, limit=1)
    if message.role != "assistant" or message.status == "writing":
        text = "is no answer that can be rated; name the message of an assistant, once it is written"
        raise UnsupportedRequestError.of("message_id", text)
    return await conversations.rate(tenant, conversation_id, message_id, feedback)
