"""Turns pydantic's findings into fields and sentences for the person who sent them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dspy_service.domain.catalogue.kwargs import nearest
from dspy_service.domain.field_problem import FieldProblem
from dspy_service.domain.secrets import looks_like_a_key, names_a_secret

_MAX_PROBLEMS = 50
_MAPPING_TAGS = ("nested", "flat")  # of spec.RunRequest's union; no client has ever heard of them

_SHOULD = re.compile(r"^(Input|String|Dictionary|List) should ")

_SECRET = "carries a secret; keys stay with the operator and are never sent: remove it"  # noqa: S105  # a sentence

_SENTENCES = {
    "missing": "is required",
    "string_too_short": "is empty",
    "dict_type": "must be an object",
    "int_parsing": "must be a whole number",
}


class FieldError(ValueError):
    """What the validator of a whole body has against one of its fields."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def friendly(found: Sequence[Mapping[str, Any]], known: Sequence[str] = ()) -> list[FieldProblem]:
    """Translate what pydantic found.

    Args:
        found: as ``ValidationError.errors()`` gives it.
        known: names of the top-level fields, for a suggestion when one is unknown.
    """
    problems = [
        FieldProblem(field=_path(_place(each)), message=_message(each, known)) for each in found[:_MAX_PROBLEMS]
    ]
    if len(found) > _MAX_PROBLEMS:
        problems.append(FieldProblem(field="", message=f"and {len(found) - _MAX_PROBLEMS} more problems"))
    return problems


def _place(found: Mapping[str, Any]) -> tuple[str | int, ...]:
    error = (found.get("ctx") or {}).get("error")
    return (*found["loc"], error.field) if isinstance(error, FieldError) else tuple(found["loc"])


def _path(location: Sequence[str | int]) -> str:
    parts = [str(part) for part in location if part != "[key]"]
    if len(parts) > 1 and parts[0] == "column_mapping" and parts[1] in _MAPPING_TAGS:
        del parts[1]
    return ".".join("(a key)" if looks_like_a_key(part) else part for part in parts)


def _message(found: Mapping[str, Any], known: Sequence[str]) -> str:
    kind, context = found["type"], found.get("ctx") or {}
    if kind == "extra_forbidden":
        return _unknown_field(found["loc"], known)
    if kind == "value_error":
        return str(context.get("error", found["msg"]))
    if kind == "too_short" and context.get("min_length") == 1:
        return "is empty; send at least one"
    if kind == "too_long":
        return f"must have at most {context['max_length']} items"
    return _SENTENCES.get(kind) or _reworded(str(found["msg"]))


def _unknown_field(location: Sequence[str | int], known: Sequence[str]) -> str:
    name = str(location[-1])
    if names_a_secret(name) or looks_like_a_key(name):
        return _SECRET
    return f"is not a known field{nearest(name, known) if len(location) == 1 else ''}"


def _reworded(message: str) -> str:
    """Turn ``Input should be a valid string`` into ``must be a valid string``; the field stands before it."""
    return _SHOULD.sub("must ", message)
