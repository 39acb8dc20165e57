"""Notices secrets in what a client sent, by the name of a field or the look of a value."""

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.field_problem import FieldProblem

_SECRET_NAME = re.compile(
    r"^(?:.*[_-])?(?:api[_-]?keys?|access[_-]?keys?|secret[_-]?keys?|secrets?|passwords?|passwd|credentials?"
    r"|authorization|bearer|access[_-]?tokens?|auth[_-]?tokens?|tokens?|private[_-]?keys?)$",
    re.IGNORECASE,
)

_HARMLESS_NAMES = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})

SECRET_VALUE = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, OpenRouter, DeepSeek
    r"|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}"  # GitHub
    r"|AIza[0-9A-Za-z_-]{30,}"  # Google
    r"|gsk_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}"  # others
    r"|dsk_[0-9a-f]{16}\.[A-Za-z0-9_-]{20,}"  # ours
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # a signed web token
    r")"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""Values of the exact form of a key that somebody gives out."""

_SECRET_PHRASE = re.compile(r"\bBearer\s+[A-Za-z0-9._~+/=-]{8,}|://[^/\s:@]*:[^/\s@]+@|://[^/\s:@]+@", re.IGNORECASE)
"""Only looked for outside of sources and rows, where prose has them too."""

_MESSAGE = (
    "looks like a secret; keys stay with the operator and are never sent: remove it (and revoke it if it is real)"
)


def names_a_secret(name: str) -> bool:
    """Whether a field of this name would carry a secret."""
    return name.casefold() not in _HARMLESS_NAMES and _SECRET_NAME.match(name) is not None


def looks_like_a_key(text: str) -> bool:
    """Whether the text holds something of the exact form of a provider's key."""
    return SECRET_VALUE.search(text) is not None


def refuse_secrets(fields: Mapping[str, JsonValue]) -> None:
    """Search model settings, kwargs and metadata, but not rows or sources.

    Raises:
        InvalidRequestError: names every field that holds one, and never its value.
    """
    problems = [FieldProblem(field=path, message=_MESSAGE) for path in _secret_paths(fields, "")]
    if problems:
        raise InvalidRequestError(problems)


def _secret_paths(value: JsonValue | Mapping[str, JsonValue], path: str) -> Iterator[str]:
    """Yield the dotted paths that hold a secret."""
    if isinstance(value, str):
        if looks_like_a_key(value) or _SECRET_PHRASE.search(value):
            yield path
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _secrets_of_field(name, each, path)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _secret_paths(each, f"{path}.{index}")


def _secrets_of_field(name: str, value: JsonValue, path: str) -> Iterator[str]:
    inner = f"{path}.{name}" if path else name
    if looks_like_a_key(name):
        yield path  # the name is the key itself: it is not repeated
    elif names_a_secret(name):
        yield inner
    else:
        yield from _secret_paths(value, inner)
