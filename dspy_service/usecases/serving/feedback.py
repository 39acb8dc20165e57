"""Notes what somebody thought of an answer."""

from collections.abc import Mapping

from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.field_problem import FieldProblem
from dspy_service.domain.serving.conversation import Conversation, Feedback, Message
from dspy_service.domain.serving.errors import ProgramNotFoundError, ProgramVersionRetiredError
from dspy_service.domain.serving.inputs import wrong_outputs
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.serving.resolve_program import resolve_program


async def rate_answer(
    conversation: Conversation,
    message_id: str,
    feedback: Feedback | None,
    *,
    conversations: ConversationStore,
    programs: ProgramStore,
) -> Message:
    """Set, or with None take back, the rating of an answer.

    Raises:
        ConversationNotFoundError: there is no such message.
        UnsupportedRequestError: it is a question, or is still being written.
        InvalidRequestError: something else is expected than what the program answers with, by name or by type.
    """
    tenant, conversation_id = conversation.tenant, conversation.conversation_id
    *_, message = await conversations.messages(tenant, conversation_id, head_id=message_id, limit=1)
    if message.role != "assistant" or message.status == "writing":
        text = "is no answer that can be rated; name the message of an assistant, once it is written"
        raise UnsupportedRequestError.of("message_id", text)
    if feedback is not None and feedback.expected:
        _require_outputs(message, feedback.expected)
        await _require_types(conversation, feedback.expected, programs)
    return await conversations.rate(tenant, conversation_id, message_id, feedback)


def _require_outputs(message: Message, expected: Mapping[str, JsonValue]) -> None:
    """Refuse names that would become columns of their own; an answer that failed has no outputs to compare with."""
    unknown = set(expected) - set(message.fields) if message.fields else set()
    if unknown:
        text = f"is no output of this answer; they are {', '.join(message.fields)}"
        raise InvalidRequestError([FieldProblem(field=f"expected.{name}", message=text) for name in sorted(unknown)])


async def _require_types(conversation: Conversation, expected: Mapping[str, JsonValue], programs: ProgramStore) -> None:
    """Refuse what the program could not answer with, as it is served now: rows are for its next optimization."""
    try:
        version = await resolve_program(conversation.program, tenant=conversation.tenant, programs=programs)
    except (ProgramNotFoundError, ProgramVersionRetiredError):
        return
    problems = wrong_outputs(version.interface, expected, path="expected")
    if problems:
        raise InvalidRequestError(problems)
