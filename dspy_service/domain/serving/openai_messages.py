"""Reads messages as clients of OpenAI's API send them: roles and texts, and then turns and a question."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError

Role = Literal["system", "user", "assistant"]

_ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_SILENT_ITEMS = frozenset({"reasoning"})
"""Items of an earlier answer that clients send back, and that no program is told."""


@dataclass(frozen=True)
class Said:
    """One message."""

    role: Role
    text: str


@dataclass(frozen=True)
class Talk:
    """Messages in the order in which a program takes them."""

    system: str
    """What the caller wants of the program; empty: nothing."""
    pairs: tuple[tuple[str, str], ...]
    """Questions with their answers, oldest first."""
    message: str
    """The question that is to be answered."""


def read_messages(messages: Sequence[JsonValue], *, path: str) -> list[Said]:
    """Return what was said.

    Args:
        messages: Of a chat completion, or input items of a response.
        path: Where they stand in the request, for the sentences about them.

    Raises:
        InvalidRequestError: one is malformed.
        UnsupportedRequestError: one holds something else than text, or comes from a tool.
    """
    return [said for index, each in enumerate(messages) for said in _said(each, f"{path}.{index}")]


def read_talk(messages: Sequence[Said], *, path: str) -> Talk:
    """Return the turns and the question; messages of one side that follow each other are one.

    Raises:
        InvalidRequestError: the last word is not the user's.
    """
    system = "\n\n".join(each.text for each in messages if each.role == "system")
    others = [each for each in messages if each.role != "system"]
    if not others or others[-1].role != "user":
        raise InvalidRequestError.of(path, "must end with a message of the user, which is what is answered")
    pairs: list[tuple[str, str]] = []
    question, answer = "", ""
    for each in others:
        if each.role == "assistant":
            answer = _joined(answer, each.text)
        elif answer:
            pairs.append((question, answer))
            question, answer = each.text, ""
        else:
            question = _joined(question, each.text)
    return Talk(system=system, pairs=tuple(pairs), message=question)


def _joined(before: str, text: str) -> str:
    return f"{before}\n\n{text}" if before else text


def _said(message: JsonValue, path: str) -> Iterator[Said]:
    if not isinstance(message, dict):
        raise InvalidRequestError.of(path, "must be an object with `role` and `content`")
    kind = message.get("type", "message")
    if kind in _SILENT_ITEMS:
        return
    if kind != "message":
        raise UnsupportedRequestError.of(f"{path}.type", f"{str(kind)[:60]!r} is not taken here; send messages")
    role = _role(message.get("role"), f"{path}.role")
    yield Said(role, _text(message.get("content"), f"{path}.content", is_optional=role == "assistant"))


def _role(role: JsonValue, path: str) -> Role:
    if not isinstance(role, str):
        raise InvalidRequestError.of(path, "is required")
    if role not in _ROLES:
        known = ", ".join(_ROLES)
        raise UnsupportedRequestError.of(path, f"{role[:60]!r} is not taken here; the roles are {known}")
    return _ROLES[role]


def _text(content: JsonValue, path: str, *, is_optional: bool) -> str:
    if content is None:
        if not is_optional:
            raise InvalidRequestError.of(path, "is required")
        return ""  # an assistant that called a tool
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequestError.of(path, "must be a text, or a list of parts")
    return "".join(_part(part, f"{path}.{index}") for index, part in enumerate(content))


def _part(part: JsonValue, path: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise InvalidRequestError.of(path, "must be an object with a `type`")
    if kind not in _TEXT_PARTS:
        raise UnsupportedRequestError.of(f"{path}.type", f"{kind[:60]!r} is not taken here; send text")
    text = part.get("text")
    if not isinstance(text, str):
        raise InvalidRequestError.of(f"{path}.text", "must be a text")
    return text
