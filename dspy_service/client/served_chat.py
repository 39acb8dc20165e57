"""What a client says to served programs, and does with conversations, blocking and asynchronous."""

import uuid
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any, Literal, TypedDict, Unpack

from dspy_service.client import chat_calls, plans
from dspy_service.client.performing import Follows, FollowsAsynchronously, Runs, RunsAsynchronously
from dspy_service.client.plans import Plan
from dspy_service.client.run_following import RunFollowing
from dspy_service.domain.serving.conversation import Message
from dspy_service.domain.serving.conversation_views import (
    ChatAnswer,
    ConversationDetail,
    ConversationList,
    ConversationView,
)
from dspy_service.domain.serving.run import MultitaskStrategy, OnDisconnect, RunOptions
from dspy_service.domain.serving.run_events import RunEvent


class ChatOptions(TypedDict, total=False):
    """How a message is answered.

    ``conversation_id`` goes on with a conversation; ``user_id`` says which of your users it belongs to; ``program`` is
    ``name``, ``name@alias`` or ``name@v3``; ``inputs`` are other fields of the program; ``multitask_strategy`` says
    what happens while an earlier message is answered; ``idempotency_key`` makes a second call answer with the first
    one's run.
    """

    conversation_id: str
    user_id: str
    program: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any] | RunOptions
    multitask_strategy: MultitaskStrategy
    on_disconnect: OnDisconnect
    idempotency_key: str


class ServedChat:
    """``client.chat``: say something, look at conversations, rate answers."""

    def __init__(self, run: Runs, follow: Follows) -> None:
        self._run = run
        self._follow = follow

    def say(self, message: str, **options: Unpack[ChatOptions]) -> ChatAnswer:
        """Say something and return the answer; its ``conversation_id`` is for the next message.

        Raises:
            RequestRejectedError: it cannot be answered; the sentence says why.
            ApiError: the run failed; ``code`` says how.
        """
        return self._run(_say(message, options))

    def stream(self, message: str, **options: Unpack[ChatOptions]) -> Generator[RunEvent, None, None]:
        """Say something and yield every event of the run that answers it.

        A broken connection is opened again where it broke; nothing is lost or doubled. Close the generator when you
        stop early. Raises as ``say``, but a run that failed is an event.
        """
        return self._follow(_stream(message, options))

    def regenerate(self, conversation_id: str, message_id: str) -> ChatAnswer:
        """Ask for another answer to the same question; it becomes the one that is shown. Raises as ``say``."""
        return self._run(_regenerate(conversation_id, message_id))

    def start(
        self,
        *,
        user_id: str | None = None,
        program: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ConversationView:
        """Make an empty conversation."""
        return self._run(_start(user_id=user_id, program=program, title=title, metadata=metadata))

    def conversations(
        self, *, user_id: str | None = None, after: str | None = None, limit: int = 20
    ) -> ConversationList:
        """Return a page of conversations, the one that changed last first."""
        params = _params(user_id=user_id, after=after, limit=limit)
        return self._run(plans.ask(chat_calls.conversations(params)))

    def conversation(self, conversation_id: str, *, head_id: str | None = None, limit: int = 100) -> ConversationDetail:
        """Return a conversation with the newest messages of one branch, oldest first."""
        params = _params(head_id=head_id, limit=limit)
        return self._run(plans.ask(chat_calls.conversation(conversation_id, params)))

    def change(
        self, conversation_id: str, *, title: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> ConversationView:
        """Set what is not None."""
        body = _known(title=title, metadata=metadata)
        return self._run(plans.ask(chat_calls.change_conversation(conversation_id, body)))

    def delete(self, conversation_id: str) -> None:
        """Forget a conversation with its messages."""
        self._run(plans.once(chat_calls.delete_conversation(conversation_id)))

    def rate(
        self,
        conversation_id: str,
        message_id: str,
        rating: Literal["up", "down"] | None,
        *,
        comment: str | None = None,
        expected: Mapping[str, Any] | None = None,
    ) -> Message:
        """Rate an answer; ``expected`` are the outputs that it should have had. None takes the rating back."""
        return self._run(_rate(conversation_id, message_id, rating, _known(comment=comment, expected=expected)))

    def rated_rows(self, *, program: str | None = None, user_id: str | None = None) -> list[dict[str, Any]]:
        """Return what was rated as rows for the dataset of a job."""
        return self._run(plans.ask(chat_calls.rated_rows(_params(program=program, user_id=user_id))))


class AsyncServedChat:
    """As ``ServedChat``, on the event loop."""

    def __init__(self, run: RunsAsynchronously, follow: FollowsAsynchronously) -> None:
        self._run = run
        self._follow = follow

    async def say(self, message: str, **options: Unpack[ChatOptions]) -> ChatAnswer:
        """As ``ServedChat.say``."""
        return await self._run(_say(message, options))

    def stream(self, message: str, **options: Unpack[ChatOptions]) -> AsyncGenerator[RunEvent, None]:
        """As ``ServedChat.stream``; close the generator when you stop early."""
        return self._follow(_stream(message, options))

    async def regenerate(self, conversation_id: str, message_id: str) -> ChatAnswer:
        """As ``ServedChat.regenerate``."""
        return await self._run(_regenerate(conversation_id, message_id))

    async def start(
        self,
        *,
        user_id: str | None = None,
        program: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ConversationView:
        """As ``ServedChat.start``."""
        return await self._run(_start(user_id=user_id, program=program, title=title, metadata=metadata))

    async def conversations(
        self, *, user_id: str | None = None, after: str | None = None, limit: int = 20
    ) -> ConversationList:
        """As ``ServedChat.conversations``."""
        params = _params(user_id=user_id, after=after, limit=limit)
        return await self._run(plans.ask(chat_calls.conversations(params)))

    async def conversation(
        self, conversation_id: str, *, head_id: str | None = None, limit: int = 100
    ) -> ConversationDetail:
        """As ``ServedChat.conversation``."""
        params = _params(head_id=head_id, limit=limit)
        return await self._run(plans.ask(chat_calls.conversation(conversation_id, params)))

    async def change(
        self, conversation_id: str, *, title: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> ConversationView:
        """As ``ServedChat.change``."""
        body = _known(title=title, metadata=metadata)
        return await self._run(plans.ask(chat_calls.change_conversation(conversation_id, body)))

    async def delete(self, conversation_id: str) -> None:
        """As ``ServedChat.delete``."""
        await self._run(plans.once(chat_calls.delete_conversation(conversation_id)))

    async def rate(
        self,
        conversation_id: str,
        message_id: str,
        rating: Literal["up", "down"] | None,
        *,
        comment: str | None = None,
        expected: Mapping[str, Any] | None = None,
    ) -> Message:
        """As ``ServedChat.rate``."""
        return await self._run(_rate(conversation_id, message_id, rating, _known(comment=comment, expected=expected)))

    async def rated_rows(self, *, program: str | None = None, user_id: str | None = None) -> list[dict[str, Any]]:
        """As ``ServedChat.rated_rows``."""
        return await self._run(plans.ask(chat_calls.rated_rows(_params(program=program, user_id=user_id))))


def _say(message: str, options: ChatOptions) -> Plan[ChatAnswer]:
    body, key = _body(message, options)
    return plans.ask(chat_calls.chat(body, idempotency_key=key))


def _stream(message: str, options: ChatOptions) -> RunFollowing:
    body, key = _body(message, options)
    return RunFollowing.of_call(chat_calls.chat_stream(body, idempotency_key=key))


def _regenerate(conversation_id: str, message_id: str) -> Plan[ChatAnswer]:
    return plans.ask(chat_calls.regenerate(conversation_id, message_id, {}, idempotency_key=str(uuid.uuid4())))


def _start(**fields: object) -> Plan[ConversationView]:
    return plans.once(chat_calls.start_conversation(_known(**fields)))


def _rate(
    conversation_id: str, message_id: str, rating: Literal["up", "down"] | None, said: Mapping[str, object]
) -> Plan[Message]:
    if rating is None:
        return plans.ask(chat_calls.take_rating_back(conversation_id, message_id))
    return plans.ask(chat_calls.rate(conversation_id, message_id, {"rating": rating, **said}))


def _body(message: str, options: ChatOptions) -> tuple[dict[str, object], str]:
    body: dict[str, object] = {"message": message, **options}
    key = body.pop("idempotency_key", None)
    of_run = options.get("options")
    if isinstance(of_run, RunOptions):
        body["options"] = of_run.model_dump(mode="json", exclude_unset=True)
    return body, str(key or uuid.uuid4())


def _known(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _params(**fields: str | int | None) -> dict[str, str | int]:
    return {name: value for name, value in fields.items() if value is not None}
