"""Takes a turn in a conversation: the user's message, and the run that answers it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import uuid_utils

from dspy_service.domain.errors import ServiceError, StoreUnavailableError, UnsupportedRequestError
from dspy_service.domain.serving.chat_fields import fields_of, question_text, require_memory, turn_inputs
from dspy_service.domain.serving.conversation import Conversation, Message, NewConversation
from dspy_service.domain.serving.errors import ConversationNotFoundError, TurnOvertakenError
from dspy_service.domain.serving.inputs import check_inputs
from dspy_service.domain.serving.run import Run
from dspy_service.ports.serving.conversations import ConversationStore
from dspy_service.ports.serving.runs import RunRecords
from dspy_service.usecases.serving.start_run import Invocation, new_run_id, start_run

_MOST_TRIES = 100
"""Each that fails means that another message has got its run, so this many must have been sent at once."""


async def take_turn(
    text: str | None,
    invocation: Invocation,
    *,
    conversation: Conversation | NewConversation,
    now: datetime,
    conversations: ConversationStore,
    runs: RunRecords,
) -> Run:
    """Write the message and the place of its answer, then start the run that answers it.

    The order matters: a crash in between leaves a message whose run never comes, which whoever reads it next says; the
    other order would let a run begin before its question is there. What cannot be started takes its messages back. What
    is overtaken between the two steps does so too, and stands behind the other: messages and runs have one order.

    Args:
        text: The user's message; None: the inputs say all of it.
        invocation: The call, with the inputs that the caller named beside the message.
        conversation: Where it goes on; a new one is recorded first.
        now: The time of the messages.
        conversations: Where they are written.
        runs: Where the run is.

    Raises:
        UnsupportedRequestError: the program cannot go on with a conversation.
        LimitReachedError: the tenant has as many conversations, or this one as many messages, as may be.
        TurnOvertakenError: it was overtaken again and again.
        InvalidRequestError: as ``start_run``, whose other errors are raised too.
    """
    version = invocation.version
    if isinstance(conversation, Conversation) and conversation.message_count:
        require_memory(version)
    fields = fields_of(version)
    inputs = turn_inputs(text, invocation.inputs, fields=fields, interface=version.interface)
    checked = check_inputs(version.interface, inputs, path=invocation.inputs_path)
    conversation_id = conversation.conversation_id
    question = Message(
        message_id=_message_id(),
        conversation_id=conversation_id,
        role="user",
        text=question_text(checked, fields) if text is None else text,
        fields={name: value for name, value in checked.items() if name != fields.history},
        created_at=now,
    )
    reply = _reply(conversation_id, now)
    if not isinstance(conversation, Conversation):
        await conversations.create(conversation, max_conversations=invocation.max_conversations)
    ready = replace(invocation, inputs=checked)
    return await _written(ready, [question, reply], conversation=conversation, conversations=conversations, runs=runs)


async def regenerate(
    message_id: str,
    invocation: Invocation,
    *,
    conversation: Conversation,
    now: datetime,
    conversations: ConversationStore,
    runs: RunRecords,
) -> Run:
    """Answer a question anew: the new answer is shown, the old one stays as a branch. Arguments as of ``take_turn``.

    Raises:
        ConversationNotFoundError: there is no such message.
        UnsupportedRequestError: it is not an answer.
        LimitReachedError: the conversation has as many messages as it may have.
    """
    branch = await conversations.messages(
        conversation.tenant, conversation.conversation_id, head_id=message_id, limit=2
    )
    question = _question_of(branch)
    reply = _reply(conversation.conversation_id, now, parent_id=question.message_id)
    fields = fields_of(invocation.version)
    inputs = dict(question.fields)
    if fields.history is not None:
        inputs[fields.history] = {"messages": []}
    ready = replace(invocation, inputs=inputs)
    return await _written(ready, [reply], conversation=conversation, conversations=conversations, runs=runs)


def _question_of(branch: Sequence[Message]) -> Message:
    if len(branch) == 2 and branch[-1].role == "assistant":  # noqa: PLR2004  # the question and its answer
        return branch[0]
    message = "is not an answer; name the message of an assistant"
    raise UnsupportedRequestError.of("message_id", message)


async def _written(
    invocation: Invocation,
    messages: Sequence[Message],
    *,
    conversation: Conversation | NewConversation,
    conversations: ConversationStore,
    runs: RunRecords,
) -> Run:
    """Write the messages and start the run of the last one; anew, as the newest, when others were faster."""
    for _ in range(_MOST_TRIES):
        place = await conversations.add(conversation.tenant, messages, max_messages=invocation.max_messages)
        ready = replace(invocation, place=place)
        with suppress(TurnOvertakenError):
            return await _started(
                ready, messages[-1], conversation=conversation, conversations=conversations, runs=runs
            )
    raise TurnOvertakenError(conversation.conversation_id)


async def _started(
    invocation: Invocation,
    reply: Message,
    *,
    conversation: Conversation | NewConversation,
    conversations: ConversationStore,
    runs: RunRecords,
) -> Run:
    """Start the run of a reply; take the messages back when there is none, or when it is that of an earlier call."""
    ready = replace(invocation, run_id=reply.run_id, conversation_id=reply.conversation_id, message_id=reply.message_id)
    try:
        run, is_new = await start_run(ready, runs=runs)
    except StoreUnavailableError:
        raise  # it may have been recorded: whoever reads the message looks for it
    except TurnOvertakenError:  # so the conversation is somebody else's too by now, also a new one
        with suppress(ConversationNotFoundError):
            await conversations.take_back(conversation.tenant, reply.conversation_id, reply.message_id)
        raise
    except ServiceError:
        await _take_back(reply, conversation, conversations)
        raise
    if not is_new:
        await _take_back(reply, conversation, conversations)
    return run


async def _take_back(
    reply: Message, conversation: Conversation | NewConversation, conversations: ConversationStore
) -> None:
    try:
        if isinstance(conversation, Conversation):
            await conversations.take_back(conversation.tenant, reply.conversation_id, reply.message_id)
        else:
            await conversations.delete(conversation.tenant, reply.conversation_id)
    except ConversationNotFoundError:
        pass  # somebody deleted it meanwhile


def _reply(conversation_id: str, now: datetime, *, parent_id: str | None = None) -> Message:
    return Message(
        message_id=_message_id(),
        conversation_id=conversation_id,
        role="assistant",
        text="",
        run_id=new_run_id(),
        status="writing",
        parent_id=parent_id,
        created_at=now,
    )


def _message_id() -> str:
    return f"msg_{uuid_utils.uuid7()}"
