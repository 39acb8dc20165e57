"""The HTTP exchanges about chats and conversations, as values."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dspy_service.client.calls import Call, answer_of, verbatim
from dspy_service.client.errors import SubmissionError
from dspy_service.domain.serving.conversation import Message
from dspy_service.domain.serving.conversation_views import (
    ChatAnswer,
    ConversationDeleted,
    ConversationDetail,
    ConversationList,
    ConversationView,
)

Params = Mapping[str, str | int]


def chat(body: Mapping[str, object], *, idempotency_key: str) -> Call[ChatAnswer]:
    """Say something and wait for the answer; the key makes it safe to send twice.

    Raises:
        SubmissionError: the body holds something that JSON does not, such as NaN.
    """
    content, headers = _json(body, idempotency_key)
    return Call("POST", "/chat", answer_of(ChatAnswer), content=content, headers=headers)


def chat_stream(body: Mapping[str, object], *, idempotency_key: str) -> Call[bytes]:
    """Say something whose answer is read along: see ``RunFollowing``. Raises as ``chat``."""
    content, headers = _json(body, idempotency_key)
    return Call("POST", "/chat/stream?format=v1", verbatim, content=content, headers=headers)


def regenerate(
    conversation_id: str, message_id: str, body: Mapping[str, object], *, idempotency_key: str
) -> Call[ChatAnswer]:
    """Ask for another answer. Raises as ``chat``."""
    content, headers = _json(body, idempotency_key)
    path = _message_path(conversation_id, message_id, "regenerate")
    return Call("POST", path, answer_of(ChatAnswer), content=content, headers=headers)


def start_conversation(body: Mapping[str, object]) -> Call[ConversationView]:
    """Make an empty conversation. Raises as ``chat``."""
    content, headers = _json(body)
    answers = frozenset({201})
    return Call(
        "POST", "/conversations", answer_of(ConversationView), content=content, headers=headers, answers=answers
    )


def conversations(params: Params) -> Call[ConversationList]:
    """Ask for a page of conversations."""
    return Call("GET", "/conversations", answer_of(ConversationList), params=params)


def conversation(conversation_id: str, params: Params) -> Call[ConversationDetail]:
    """Ask for a conversation with its messages."""
    return Call("GET", _path(conversation_id), answer_of(ConversationDetail), params=params)


def change_conversation(conversation_id: str, body: Mapping[str, object]) -> Call[ConversationView]:
    """Set its title or metadata. Raises as ``chat``."""
    content, headers = _json(body)
    return Call("POST", _path(conversation_id), answer_of(ConversationView), content=content, headers=headers)


def delete_conversation(conversation_id: str) -> Call[ConversationDeleted]:
    """Forget a conversation."""
    return Call("DELETE", _path(conversation_id), answer_of(ConversationDeleted))


def rate(conversation_id: str, message_id: str, body: Mapping[str, object]) -> Call[Message]:
    """Rate an answer. Raises as ``chat``."""
    content, headers = _json(body)
    path = _message_path(conversation_id, message_id, "feedback")
    return Call("POST", path, answer_of(Message), content=content, headers=headers)


def take_rating_back(conversation_id: str, message_id: str) -> Call[Message]:
    """Leave an answer without a rating."""
    return Call("DELETE", _message_path(conversation_id, message_id, "feedback"), answer_of(Message))


def rated_rows(params: Params) -> Call[list[dict[str, Any]]]:
    """Ask for the rows that rated answers make."""
    return Call("GET", "/conversations/export", _rows, params=params)


def _rows(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


def _path(conversation_id: str) -> str:
    return f"/conversations/{quote(conversation_id, safe='')}"


def _message_path(conversation_id: str, message_id: str, verb: str) -> str:
    return f"{_path(conversation_id)}/messages/{quote(message_id, safe='')}/{verb}"


def _json(body: Mapping[str, object], idempotency_key: str | None = None) -> tuple[bytes, Mapping[str, str]]:
    headers = {"Content-Type": "application/json"}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode(), headers
    except (TypeError, ValueError) as error:  # UnicodeEncodeError, half a surrogate pair, is one too
        message = f"The message cannot be written as JSON: {error}."
        raise SubmissionError(message) from error
