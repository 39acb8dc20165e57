"""Turns of conversations for whoever chats over HTTP: read along, or answered once they are whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fastapi import Response

from dspy_service.api.answers import json_answer
from dspy_service.api.chat_body import ChatFormat, ChatRequest, TurnOptions
from dspy_service.api.dialects.dialect import Dialect
from dspy_service.api.dialects.numbered import Numbered
from dspy_service.api.dialects.seed000 import Seed000
from dspy_service.api.dialects.seed001 import Seed001Chat
from dspy_service.api.dialects.seed002 import Seed002
from dspy_service.api.dialects.seed003 import Seed003
from dspy_service.api.dialects.v1 import V1
from dspy_service.api.invoking import Invoking
from dspy_service.api.run_answer import answered
from dspy_service.api.run_stream import run_stream
from dspy_service.bootstrap import Services
from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.serving.chat_fields import answer_text, fields_of
from dspy_service.domain.serving.conversation import MAX_TITLE_LENGTH, Conversation, NewConversation
from dspy_service.domain.serving.conversation_views import BasicAnswer, ChatAnswer
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import RunEvent
from dspy_service.domain.serving.turns import named_sources
from dspy_service.usecases.serving.chat import regenerate, take_turn
from dspy_service.usecases.serving.conversations import find_conversation, new_conversation
from dspy_service.usecases.serving.default_program import default_program
from dspy_service.usecases.serving.read_run import await_run
from dspy_service.usecases.serving.start_run import Invocation


@dataclass(frozen=True)
class Chat:
    """A turn that was taken."""

    run: Run
    version: ProgramVersion

    @property
    def conversation_id(self) -> str:
        """The conversation of the run: that of an earlier call, when an idempotency key replayed it."""
        return self.run.conversation_id or ""

    def dialect(self, wanted: ChatFormat) -> Dialect:
        """Return how its events are written for one reader."""
        answer = fields_of(self.version).answer
        match wanted:
            case "v1":
                return V1(self.run.run_id)
            case "seed000":
                return Seed000(answer, self.conversation_id)
            case "seed001":
                return Seed001Chat(answer)
            case "seed002":
                return Seed002(answer, self.conversation_id)
            case "seed003":
                return Seed003(answer)


async def version_for(reference: str | None, invoking: Invoking) -> ProgramVersion:
    """Return the version that a caller means; None: the default program."""
    services = invoking.services
    named = reference or services.settings.default_program
    return await default_program(named, tenant=invoking.caller.tenant, programs=services.programs)


async def start_chat(invoking: Invoking, asked: ChatRequest, *, body: bytes) -> Chat:
    """Take a turn in the conversation that was named, or in a new one.

    Raises:
        ConversationNotFoundError: there is no such conversation of that user.
        UnsupportedRequestError: deep research was asked for, or the program cannot go on with a conversation.
        InvalidRequestError: the message or the inputs are not what the program takes.
    """
    if asked.mode == "deep":
        message = "deep research is not served here; send `basic`, or leave it out"
        raise UnsupportedRequestError.of("mode", message)
    services = invoking.services
    earlier = None
    if asked.conversation is not None:
        earlier = await find_conversation(
            asked.conversation,
            tenant=invoking.caller.tenant,
            owner=asked.user_id,
            conversations=services.conversations,
        )
    named = asked.program or (None if earlier is None else earlier.program)
    version = await version_for(named, invoking)
    run = await take_turn(
        asked.text,
        _invocation(invoking, version, asked, body),
        conversation=earlier or _begun(invoking, asked, named or version.program),
        now=datetime.now(UTC),
        conversations=services.conversations,
        runs=services.runs,
    )
    return Chat(run, version)


async def start_again(
    invoking: Invoking, conversation: Conversation, message_id: str, asked: TurnOptions, *, body: bytes
) -> Chat:
    """Answer the question of a message anew. No equal call of before answers it, unless the caller says so."""
    services = invoking.services
    version = await version_for(conversation.program, invoking)
    invocation = _invocation(invoking, version, asked, body)
    if asked.options is None:
        invocation = replace(invocation, options=invocation.options.model_copy(update={"cache": "bypass"}))
    run = await regenerate(
        message_id,
        invocation,
        conversation=conversation,
        now=datetime.now(UTC),
        conversations=services.conversations,
        runs=services.runs,
    )
    return Chat(run, version)


def stream_of(
    chat: Chat, wanted: ChatFormat, *, invoking: Invoking, seen: Sequence[RunEvent] = (), with_ids: bool = False
) -> Response:
    """Return the answer that tells a turn as it happens.

    Args:
        chat: The turn.
        wanted: How it is written.
        invoking: Who reads.
        seen: What the reader has seen before.
        with_ids: Whether the reader comes back by himself, with the last id.
    """
    dialect = chat.dialect(wanted)
    if with_ids:
        dialect = Numbered(dialect, chat.run.run_id, seen)
    response = run_stream(
        chat.run,
        dialect,
        request=invoking.request,
        services=invoking.services,
        after=seen[-1].seq if seen else 0,
    )
    response.headers["x-conversation-id"] = chat.conversation_id
    return response


async def whole_answer(chat: Chat, invoking: Invoking) -> Response:
    """Return the answer once it is whole; nothing when the client goes before. Raises RunFailedError."""
    return await answered(invoking.request, _whole(chat, invoking.services))


async def basic_answer(chat: Chat, invoking: Invoking) -> Response:
    """Return the same in the smallest form."""
    return await answered(invoking.request, _basic(chat, invoking.services))


async def _whole(chat: Chat, services: Services) -> Response:
    return json_answer(await _answer(chat, services), headers={"x-run-id": chat.run.run_id})


async def _basic(chat: Chat, services: Services) -> Response:
    found = await _answer(chat, services)
    basic = BasicAnswer(
        answer=found.response,
        sources=found.sources,
        session_id=found.conversation_id,
        message_id=found.message_id,
        run_id=found.run_id,
    )
    return json_answer(basic, headers={"x-run-id": chat.run.run_id})


async def _answer(chat: Chat, services: Services) -> ChatAnswer:
    run = chat.run
    ending = await await_run(run, runs=services.runs)
    predicted = ending.prediction_of(run.run_id)
    text = predicted.answer
    return ChatAnswer(
        response=answer_text(predicted.prediction, fields_of(chat.version)) if text is None else text,
        conversation_id=chat.conversation_id,
        sources=named_sources(predicted.prediction),
        tokens_used=0 if predicted.usage is None else predicted.usage.total_tokens,
        message_id=run.message_id or "",
        run_id=run.run_id,
        program=run.program,
        version=run.version,
        status=ending.status,
        prediction=predicted.prediction,
        usage=predicted.usage,
        cached=predicted.cached,
        finish_reason=predicted.finish_reason,
    )


def _begun(invoking: Invoking, asked: ChatRequest, program: str) -> NewConversation:
    title = " ".join((asked.text or "").split())[:MAX_TITLE_LENGTH]
    return new_conversation(program, tenant=invoking.caller.tenant, owner=asked.user_id, title=title or None)


def _invocation(invoking: Invoking, version: ProgramVersion, asked: TurnOptions, body: bytes) -> Invocation:
    inputs = asked.inputs if isinstance(asked, ChatRequest) else None
    invocation = invoking.invocation(
        version,
        inputs or {},
        body=body,
        options=asked.options,
        on_disconnect=asked.on_disconnect,
        inputs_path="inputs",
    )
    return replace(invocation, multitask=asked.multitask_strategy)
