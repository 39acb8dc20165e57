"""The demo model itself: plain messages in, plain text out, and nothing but the prompt to go by."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from workers.lm.demo.classification import choose
from workers.lm.demo.drawing import Draw
from workers.lm.demo.extraction import extract
from workers.lm.demo.lessons import read_lessons
from workers.lm.demo.prompt import Field, Message, Prompt, Style, read_prompt
from workers.lm.demo.proposing import PROPOSALS, propose_in_plain_text
from workers.lm.demo.replying import fallback_text, say_hello, smallest_value

_REASONING: Final = frozenset({"reasoning", "rationale", "thought", "thoughts", "explanation", "next_thought"})
_LONGEST_OPTION: Final = 40
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FEW: Final = 2  # demonstrations per distinct answer from which a free text field is seen as a choice

Answered = tuple[str, str]
"""A value and the reason for it."""


def answer(messages: Sequence[Message], *, seed: int = 0, temperature: float = 0.0, sample: str = "") -> str:
    """Answer one request.

    Args:
        messages: Mappings with `role` (system, user, assistant) and `content`.
        seed: Another seed breaks ties and varies proposals in another way.
        temperature: Above 0, close calls may flip and `sample` counts.
        sample: Names one of several samples of an equal request.

    Returns:
        The reply, in the format that the prompt asks for.
    """
    request = "\x00".join(f"{m['role']}\x01{m['content']}" for m in messages)
    draw = Draw(request, seed=seed, temperature=temperature, sample=sample)
    prompt = read_prompt(messages)
    if prompt.style is Style.PLAIN:
        return propose_in_plain_text(prompt.text, draw) or say_hello(prompt.text)
    answered = {field.name: _answer_field(prompt, field, draw) for field in prompt.outputs if not _reasons(field)}
    reasoning = _reasoning(answered)
    values = {field.name: answered[field.name][0] if field.name in answered else reasoning for field in prompt.outputs}
    return _WRITERS[prompt.style](values, {field.name: field for field in prompt.outputs})


def _reasons(field: Field) -> bool:
    return field.name in _REASONING and not field.options


def _reasoning(answered: Mapping[str, Answered]) -> str:
    reasons = [f"For {name}, {why}" for name, (_, why) in answered.items() if why]
    return ". ".join(reasons) + "." if reasons else "The prompt gives no more to go by."


def _answer_field(prompt: Prompt, field: Field, draw: Draw) -> Answered:
    if field.name in PROPOSALS:
        return PROPOSALS[field.name](prompt, draw), ""
    text = prompt.input_text(prompt.query)
    demos = [(prompt.input_text(demo), demo[field.name]) for demo in prompt.demos if field.name in demo]
    rules = f"{prompt.instruction}\n{field.description}"
    options = field.options or _options(demos, rules)
    if options:
        return choose(text, options, demos, rules, draw)
    if schema := re.match(r"must adhere to the JSON schema: (.*)", field.note):
        return smallest_value(schema[1]), ""
    lessons = read_lessons(rules)
    if _number(field) or lessons.shapes or _copied(demos) or not _writes(field):
        value, why = extract(field.name, text, demos, lessons, rules)
        return (_as_number(value, field), why) if _number(field) else (value, why)
    return fallback_text(prompt), ""


def _options(demos: Sequence[tuple[str, str]], rules: str) -> tuple[str, ...]:
    """Options of a field that the signature does not limit: those of the rules, or answers that come again."""
    if ruled := tuple(read_lessons(rules).words):
        return ruled
    seen = tuple(dict.fromkeys(answered for _, answered in demos))
    repeated = len(demos) >= _FEW * len(seen) > 0
    return seen if repeated and len(seen) > 1 and all(len(option) <= _LONGEST_OPTION for option in seen) else ()


def _copied(demos: Sequence[tuple[str, str]]) -> bool:
    return sum(answered in text for text, answered in demos) * 2 > len(demos)


def _writes(field: Field) -> bool:
    """Whether the name of a field asks for prose, not for a fact that stands in the input."""
    return re.search(r"answer|response|reply|message|text|summary|output|content|title|query", field.name) is not None


def _number(field: Field) -> bool:
    return field.type_name in {"int", "float"}


def _as_number(value: str, field: Field) -> str:
    digits = re.search(r"-?[0-9]+(?:\.[0-9]+)?", value.replace(",", ""))
    if not digits:
        return "0"
    return str(int(float(digits[0]))) if field.type_name == "int" else digits[0]


def _write_chat(values: Mapping[str, str], _: Mapping[str, Field]) -> str:
    parts = [f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def _write_json(values: Mapping[str, str], fields: Mapping[str, Field]) -> str:
    typed = {name: _json_value(value, fields[name]) for name, value in values.items()}
    return json.dumps(typed, ensure_ascii=False)


def _json_value(value: str, field: Field) -> object:
    plain = not field.note or field.note.startswith("must exactly match") or field.note.startswith("must be one of")
    if plain:
        return value
    if value in {"True", "False"}:
        return value == "True"
    try:
        return json.loads(value)
    except ValueError:
        return value


def _write_xml(values: Mapping[str, str], _: Mapping[str, Field]) -> str:
    legal = {name: _NOT_XML.sub(" ", value) for name, value in values.items()}
    escaped = {name: value.replace("&", "&amp;").replace("<", "&lt;") for name, value in legal.items()}
    return "\n\n".join(f"<{name}>\n{value}\n</{name}>" for name, value in escaped.items())


def _write_text(values: Mapping[str, str], _: Mapping[str, Field]) -> str:
    return "\n".join(values.values())


_WRITERS: Final[Mapping[Style, Callable[[Mapping[str, str], Mapping[str, Field]], str]]] = {
    Style.CHAT: _write_chat,
    Style.JSON: _write_json,
    Style.XML: _write_xml,
    Style.TEXT: _write_text,
}
