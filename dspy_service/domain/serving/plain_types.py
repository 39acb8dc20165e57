"""The types that are data: their text in ``metadata.json`` says all of them, so nothing submitted must run to know one.

::

    field   = History | type
    type    = str | int | float | bool | Any | None | type "|" type
            | list | list[type] | dict | dict[str, type] | Optional[type] | Union[type, …] | Literal[constant, …]

``List`` and ``Dict`` with brackets are ``list`` and ``dict``. Whatever else a text holds is the submitter's own.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union

from pydantic import JsonValue

MAX_TYPE_CHARS = 16 * 1024
"""A ``Literal`` of a few hundred labels fits."""
MAX_DEPTH = 16

_HISTORY_NAMES = frozenset({"History", "dspy.History"})
_LEAVES: Mapping[str, tuple[Mapping[str, JsonValue], object]] = {
    "str": ({"type": "string"}, str),
    "int": ({"type": "integer"}, int),
    "float": ({"type": "number"}, float),
    "bool": ({"type": "boolean"}, bool),
    "Any": ({}, Any),
    "None": ({"type": "null"}, type(None)),
    "NoneType": ({"type": "null"}, type(None)),
    "list": ({"type": "array"}, list),
    "dict": ({"type": "object"}, dict),
}
_HISTORY_SCHEMA: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {"messages": {"type": "array", "items": {"type": "object"}}},
    "required": ["messages"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class PlainType:
    """A type of the grammar."""

    json_schema: dict[str, JsonValue]
    """Of one value."""
    annotation: Any
    """The Python type as it was written, so that DSPy names it alike in a prompt; None for a ``dspy.History``."""
    is_history: bool = False


class _OwnTypeError(ValueError):
    """The text is not of the grammar."""


def plain_type(text: str) -> PlainType | None:
    """Read the text of a field's type; None when it is not of the grammar. Nothing is ever evaluated."""
    if text in _HISTORY_NAMES:
        return PlainType(dict(_HISTORY_SCHEMA), None, is_history=True)
    if len(text) > MAX_TYPE_CHARS:
        return None
    try:
        return _read(ast.parse(text, mode="eval").body, MAX_DEPTH)
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # the last two: absurd nesting
        return None


def _read(node: ast.expr, depth: int) -> PlainType:
    if depth == 0:
        raise _OwnTypeError
    if isinstance(node, ast.Name) and node.id in _LEAVES:
        return _leaf(node.id)
    if isinstance(node, ast.Constant) and node.value is None:
        return _leaf("None")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([_read(node.left, depth - 1), _read(node.right, depth - 1)])
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _bracketed(node.value.id, inner, depth - 1)
    raise _OwnTypeError


def _leaf(name: str) -> PlainType:
    schema, annotation = _LEAVES[name]
    return PlainType(dict(schema), annotation)


def _bracketed(name: str, inner: Sequence[ast.expr], depth: int) -> PlainType:
    if name == "Literal" and inner:
        return _literal([_constant(each) for each in inner])
    members = [] if name == "Literal" else [_read(each, depth) for each in inner]
    if name == "Union" and members:
        return _union(members)
    if name == "Optional" and len(members) == 1:
        return _union([members[0], _leaf("None")])
    if name in {"list", "List"} and len(members) == 1:
        items = members[0]
        return PlainType({"type": "array", "items": items.json_schema}, list[items.annotation])  # type: ignore[name-defined]  # a type made at run time
    if name in {"dict", "Dict"} and len(members) == 2 and members[0].annotation is str:  # noqa: PLR2004  # key and value
        values = members[1]
        schema: dict[str, JsonValue] = {"type": "object", "additionalProperties": values.json_schema}
        return PlainType(schema, dict[str, values.annotation])  # type: ignore[name-defined]  # likewise
    raise _OwnTypeError


def _union(members: Sequence[PlainType]) -> PlainType:
    """DSPy writes ``Optional[X]``, ``Union[X, None]`` and ``X | None`` alike, so one of them stands for all."""
    annotation = members[0].annotation
    for each in members[1:]:
        annotation = Union[annotation, each.annotation]  # noqa: UP007  # made at run time
    return PlainType({"anyOf": [each.json_schema for each in members]}, annotation)


def _literal(values: Sequence[str | int | bool | None]) -> PlainType:
    return PlainType({"enum": list(values)}, Literal[tuple(values)])


def _constant(node: ast.expr) -> str | int | bool | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        number = node.operand.value
        if type(number) is int:
            return -number
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str | int | bool)):
        return node.value
    raise _OwnTypeError
