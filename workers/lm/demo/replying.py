"""Short, honest replies for everything that is neither a choice nor a copy."""

import json
import re
from typing import Any

from workers.lm.demo.prompt import Prompt
from workers.lm.demo.wording import features

_HELLO = "I am a small demo model. I only know what stands in my prompt"


def say_hello(text: str) -> str:
    """Reply to a plain message."""
    said = " ".join(text.split())[:160]
    return f'{_HELLO}. You wrote: "{said}"'


def fallback_text(prompt: Prompt) -> str:
    """The sentence of the inputs that best fits the shortest input, which is taken as the question."""
    values = sorted((value for value in prompt.query.values() if value), key=len)
    if not values:
        return f"{_HELLO}, and this one has no input."
    question, *rest = values
    if similar := _from_demos(prompt, question):
        return similar
    asked = features(question)
    sentences = [s.strip() for value in rest for s in re.split(r"(?<=[.!?])\s+|\n", value) if s.strip()]
    if not sentences:
        return say_hello(question)
    return max(sentences, key=lambda sentence: len(asked.keys() & features(sentence).keys()))


def _from_demos(prompt: Prompt, question: str) -> str:
    """The reply of the demonstration that asks nearly the same; empty when there is none."""
    asked = features(question).keys()
    name = prompt.outputs[-1].name
    best, reply = 0.5, ""
    for demo in prompt.demos:
        words = features(prompt.input_text(demo)).keys()
        overlap = len(asked & words) / max(1, len(asked | words))
        if overlap > best and name in demo:
            best, reply = overlap, demo[name]
    return reply


def smallest_value(schema_text: str) -> str:
    """The smallest JSON value that satisfies a schema, so that the reply parses."""
    try:
        schema = json.loads(schema_text)
    except ValueError:
        return "null"
    return json.dumps(_smallest(schema, schema.get("$defs", {})) if isinstance(schema, dict) else None)


def _smallest(schema: dict[str, Any], definitions: dict[str, Any]) -> object:
    if "$ref" in schema:
        return _smallest(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    fixed = [schema[key] for key in ("const", "default") if key in schema] + schema.get("enum", [])[:1]
    if fixed:
        return fixed[0]
    if choices := schema.get("anyOf"):
        return None if {"type": "null"} in choices else _smallest(choices[0], definitions)
    return _smallest_of_type(schema, definitions)


def _smallest_of_type(schema: dict[str, Any], definitions: dict[str, Any]) -> object:
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        return {name: _smallest(properties.get(name, {}), definitions) for name in schema.get("required", properties)}
    if schema.get("type") == "array":
        return [_smallest(schema.get("items", {}), definitions)] * schema.get("minItems", 0)
    simple: dict[str, object] = {"string": "", "integer": 0, "number": 0.0, "boolean": False}
    return simple.get(str(schema.get("type")))
