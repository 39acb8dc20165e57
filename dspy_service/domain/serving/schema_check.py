"""Says what of a value certainly does not fit the JSON Schema of a submitter's own type.

A subset on purpose: only the program can tell the rest. Formats, patterns and bounds are left to it, and so is a value
that is no object where an object is described, because a type may take a shorthand (``dspy.Code`` takes its text).
The schema is a stranger's: every keyword may hold anything, and the time that it takes is bounded.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from dspy_service.domain.serving.own_schemas import DEFINITIONS, REFERENCE

MAX_STEPS = 2_000
"""Parts of a value that are looked at, large ones for more than one: some twenty milliseconds at most."""
MAX_LEVELS = 64
"""Of schemas in each other; a definition may refer to itself without end."""

_MAX_SHOWN = 200
_PER_STEP = 16  # members of an object or a list, of the value or the schema, that are gone through in one step


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("a string", lambda value: isinstance(value, str)),
    "integer": ("an integer", lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer())),
    "number": ("a number", _is_number),
    "boolean": ("a boolean", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
    "array": ("a list", lambda value: isinstance(value, list)),
}
"""Without ``object``: see above."""


@dataclass(frozen=True)
class Misfit:
    """A part of a value that does not fit."""

    path: str
    """Names and indexes with dots between them, from the field on."""
    message: str


def find_misfit(schema: Mapping[str, JsonValue], value: JsonValue, *, path: str) -> Misfit | None:
    """Return the first part of a value that certainly does not fit a schema; None when only the program can tell."""
    definitions = schema.get(DEFINITIONS)
    return _Look(definitions if isinstance(definitions, dict) else {}).at(schema, value, path)


class _Look:
    """One walk through a value, which ends after so many steps."""

    def __init__(self, definitions: Mapping[str, JsonValue]) -> None:
        self._definitions = definitions
        self._steps_left = MAX_STEPS

    def at(self, schema: object, value: JsonValue, path: str, level: int = 0) -> Misfit | None:
        """Look at a value and into it."""
        if self._steps_left < 0 or level > MAX_LEVELS or not isinstance(schema, dict):
            return None
        sizes = [len(each) for each in (*schema.values(), value) if isinstance(each, dict | list)]
        self._steps_left -= 1 + sum(sizes) // _PER_STEP
        own = _wrong_kind(schema, value, path) or _wrong_constant(schema, value, path)
        return (
            own
            or self._first(self._parts(schema, value, path), level + 1)
            or self._members(schema, value, path, level + 1)
        )

    def _first(self, parts: "Iterator[_Part]", level: int) -> Misfit | None:
        for part in parts:
            found = part if isinstance(part, Misfit) else self.at(*part, level)
            if found is not None or self._steps_left < 0:
                return found
        return None

    def _parts(self, schema: Mapping[str, Any], value: JsonValue, path: str) -> "Iterator[_Part]":
        """Yield what must fit as well, and what is wrong already."""
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield self._definitions.get(reference.removeprefix(REFERENCE)), value, path
        for each in _listed(schema, "allOf"):
            yield each, value, path
        if isinstance(value, dict):
            yield from _of_object(schema, value, path)
        if isinstance(value, list) and "prefixItems" not in schema:
            for index, item in enumerate(value):
                yield schema.get("items"), item, f"{path}.{index}"

    def _members(self, schema: Mapping[str, Any], value: JsonValue, path: str, level: int) -> Misfit | None:
        """Return why a value fits none of several schemas; of a single one that is not null, its own reason."""
        members = [*_listed(schema, "anyOf"), *_listed(schema, "oneOf")]
        members = [each for each in members if value is None or each != {"type": "null"}]
        found = None
        for member in members:
            found = self.at(member, value, path, level)
            if found is None:
                return None
        return found if len(members) < 2 else Misfit(path, "is none of what it may be")  # noqa: PLR2004  # several


_Part = tuple[object, JsonValue, str] | Misfit
"""A schema, the value that must fit it, and where that stands."""


def _of_object(schema: Mapping[str, Any], value: Mapping[str, JsonValue], path: str) -> Iterator[_Part]:
    properties = schema.get("properties")
    known: Mapping[str, object] = properties if isinstance(properties, dict) else {}
    for name in _listed(schema, "required"):
        if isinstance(name, str) and name not in value:
            yield Misfit(f"{path}.{name}", "is required")
    others = schema.get("additionalProperties")
    if others is False and not value.keys() <= known.keys():
        listed = ", ".join(known) or "none"
        yield Misfit(path, f"has a field that it does not know; it has: {listed[:_MAX_SHOWN]}")
    for name, inner in value.items():
        if name in known:
            yield known[name], inner, f"{path}.{name}"
        else:
            yield others, inner, f"{path}.(a key)"


def _wrong_kind(schema: Mapping[str, Any], value: JsonValue, path: str) -> Misfit | None:
    names = schema.get("type")
    kinds = [_KINDS.get(name) for name in (names if isinstance(names, list) else [names]) if isinstance(name, str)]
    known = [kind for kind in kinds if kind is not None]
    if not known or len(known) < len(kinds) or any(fits(value) for _, fits in known):
        return None
    return Misfit(path, f"must be {' or '.join(words for words, _ in known)}")


def _wrong_constant(schema: Mapping[str, Any], value: JsonValue, path: str) -> Misfit | None:
    allowed = [schema["const"]] if "const" in schema else _listed(schema, "enum")
    if not allowed or any(_is_same(each, value) for each in allowed):
        return None
    shown = ", ".join(json.dumps(each, ensure_ascii=False) for each in allowed)
    return Misfit(path, f"must be one of {shown[:_MAX_SHOWN]}" if len(allowed) > 1 else f"must be {shown[:_MAX_SHOWN]}")


def _is_same(one: object, other: object) -> bool:
    """Python calls True equal to 1, JSON does not."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _listed(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    found = schema.get(keyword)
    return found if isinstance(found, list) else []
