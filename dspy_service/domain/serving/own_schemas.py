"""The JSON Schema of a submitter's own type, whose author is not trusted: bounded, and without a way out of itself."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic_core
from pydantic import JsonValue

from dspy_service.domain.program_state import deeper_than

MAX_SCHEMA_BYTES = 16 * 1024
"""Of one field's schema as JSON; a model of a hundred fields with descriptions fits."""
MAX_SCHEMA_DEPTH = 16

DEFINITIONS = "$defs"
REFERENCE = "#/$defs/"
"""What every reference begins with; the rest is a name of ``$defs``."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")  # what OpenAPI allows for a component
_OWN_KEYWORDS = frozenset({"$ref", DEFINITIONS})


def own_schema(found: object) -> dict[str, JsonValue]:
    """Return a schema that may be stored, shown and asked; ``{}``, which says nothing, for one that may not.

    It may not when it is larger or deeper than the bounds, or names anything outside of itself: whoever reads a
    program's OpenAPI document must not be sent to fetch something.
    """
    if not isinstance(found, dict) or deeper_than(found, MAX_SCHEMA_DEPTH):
        return {}
    try:
        size = len(pydantic_core.to_json(found))
    except ValueError:  # text that is no UTF-8, or no JSON at all
        return {}
    definitions = found.get(DEFINITIONS, {})
    if size > MAX_SCHEMA_BYTES or not _are_definitions(definitions):
        return {}
    rest = {key: value for key, value in found.items() if key != DEFINITIONS}
    known = {f"{REFERENCE}{name}" for name in definitions}
    return found if all(_stays_within(each, known) for each in (rest, *definitions.values())) else {}


def _are_definitions(found: object) -> bool:
    return isinstance(found, dict) and all(
        _NAME.fullmatch(name) and isinstance(schema, dict) for name, schema in found.items()
    )


def _stays_within(node: object, known: set[str]) -> bool:
    """Whether every reference in a part of a schema is one of ``known``; recursion ends at ``MAX_SCHEMA_DEPTH``."""
    if isinstance(node, list):
        return all(_stays_within(each, known) for each in node)
    if not isinstance(node, dict):
        return True
    if any(key.startswith("$") and key not in _OWN_KEYWORDS for key in node) or DEFINITIONS in node:
        return False
    if not all(isinstance(each, str) and each in known for each in _references(node)):
        return False
    return all(_stays_within(each, known) for each in node.values())


def _references(node: Mapping[str, Any]) -> Iterator[object]:
    """Yield what this object refers to; OpenAPI's ``discriminator`` does so without ``$ref``."""
    if "$ref" in node:
        yield node["$ref"]
    discriminator = node.get("discriminator")
    if isinstance(discriminator, dict) and isinstance(discriminator.get("mapping"), dict):
        yield from discriminator["mapping"].values()
