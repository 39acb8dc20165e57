"""Read a DSPy prompt: which fields, which type, which demonstrations, which input."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final

Message = Mapping[str, str]
Values = Mapping[str, str]

_HEADER: Final = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*\n?", re.MULTILINE)
_FIELD: Final = re.compile(r"^\d+\. `(\w+)` \((.*?)\):(?=\s|$)(.*?)(?=^\d+\. `|\Z)", re.MULTILINE | re.DOTALL)
_OBJECTIVE: Final = "In adhering to this structure, your objective is:"
_STRUCTURE: Final = "All interactions will be structured in the following way"
_NOT_SUPPLIED: Final = "Not supplied for this particular example."
_INCOMPLETE: Final = "This is an example of the task, though some input or output fields are not supplied."


class Style(StrEnum):
    """How the fields are written in the prompt, and so in the reply."""

    CHAT = "chat"
    JSON = "json"
    XML = "xml"
    TEXT = "text"
    """The whole reply is the one output field; inputs are written as in CHAT."""
    PLAIN = "plain"


@dataclass(frozen=True)
class Field:
    """One field of the signature, as the prompt describes it.

    Attributes:
        note: What the prompt demands of the value's form, for example "must be True or False".
    """

    name: str
    type_name: str
    description: str
    note: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """The values to choose from; empty when the prompt does not limit them."""
        if "bool" in self.type_name.split(" | "):
            return ("True", "False")
        if literal := re.search(r"Literal\[(.*)\]", self.type_name):
            return _literals(literal[1])
        if listed := re.search(r"must (?:exactly match.*?|be )one of: (.*)", self.note):
            return tuple(part.strip() for part in listed[1].split(";"))
        return ()


@dataclass(frozen=True)
class Prompt:
    """Everything the model is allowed to know: nothing else reaches it."""

    style: Style
    instruction: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    demos: tuple[Values, ...]
    query: Values
    text: str

    def input_text(self, values: Values) -> str:
        """The input fields of one example as one text."""
        return "\n".join(values[field.name] for field in self.inputs if field.name in values)


def read_prompt(messages: Sequence[Message]) -> Prompt:
    """Read the messages of one request; anything that is no DSPy prompt becomes `Style.PLAIN`."""
    system = "\n".join(m["content"] for m in messages if m["role"] in {"system", "developer"})
    turns = tuple((m["role"], m["content"]) for m in messages if m["role"] in {"user", "assistant"})
    final = turns[-1][1] if turns else ""
    if _STRUCTURE not in system or not turns:
        return Prompt(Style.PLAIN, system, (), (), (), {}, final)
    style, inputs, outputs, instruction = _signature(system)
    question = final.rpartition("\n\nRespond with ")[0] or final
    return Prompt(
        style=style,
        instruction=instruction,
        inputs=inputs,
        outputs=outputs,
        demos=_demos(style, inputs, outputs, turns[:-1]),
        query=_sections(style, question, inputs),
        text=final,
    )


@lru_cache(maxsize=256)
def _signature(system: str) -> tuple[Style, tuple[Field, ...], tuple[Field, ...], str]:
    head, _, rest = system.partition(_STRUCTURE)
    structure, _, objective = rest.rpartition(_OBJECTIVE)
    described_inputs, _, described_outputs = head.partition("Your output fields are:")
    if "Outputs will be a JSON object" in structure:
        style = Style.JSON
    elif "The whole answer is the text of `" in structure:
        style = Style.TEXT
    else:
        style = Style.CHAT if "[[ ## " in structure else Style.XML
    instruction = "\n".join(line.removeprefix(" " * 8) for line in objective.strip().splitlines())
    return style, _fields(described_inputs, ""), _fields(described_outputs, structure), instruction


def _fields(described: str, structure: str) -> tuple[Field, ...]:
    return tuple(
        Field(name, type_name, text.strip(), _note(name, structure))
        for name, type_name, text in _FIELD.findall(described)
    )


def _note(name: str, structure: str) -> str:
    note = re.search(rf'(")?\{{{name}\}} +# note: the value you produce (.*?)(?(1)",?)$', structure, re.MULTILINE)
    if note is None:
        return ""
    # The JSON format shows the note as the content of a JSON string.
    return str(json.loads(f'"{note[2]}"')) if note[1] else note[2]


@lru_cache(maxsize=256)
def _demos(
    style: Style, inputs: tuple[Field, ...], outputs: tuple[Field, ...], turns: tuple[tuple[str, str], ...]
) -> tuple[Values, ...]:
    found = []
    for (role, asked), (next_role, replied) in pairwise(turns):
        if (role, next_role) == ("user", "assistant"):
            values = _sections(style, asked.removeprefix(_INCOMPLETE), inputs) | _reply(style, replied, outputs)
            found.append({name: value for name, value in values.items() if _NOT_SUPPLIED not in value})
    return tuple(found)


def _sections(style: Style, text: str, fields: tuple[Field, ...]) -> dict[str, str]:
    if style is Style.XML:
        pairs = ((f.name, re.search(rf"<{f.name}>\n?(.*)\n?</{f.name}>", text, re.DOTALL)) for f in fields)
        return {name: match[1].strip() for name, match in pairs if match}
    parts = _HEADER.split(text)
    known = {field.name for field in fields}
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True) if name in known}


def _reply(style: Style, text: str, fields: tuple[Field, ...]) -> dict[str, str]:
    if style is Style.TEXT:
        return {fields[0].name: text.strip()} if fields else {}
    if style is not Style.JSON:
        found = _sections(style, text, fields)
        unescape = style is Style.XML
        return {k: v.replace("&lt;", "<").replace("&amp;", "&") if unescape else v for k, v in found.items()}
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return {k: v if isinstance(v, str) else str(v) for k, v in read.items()} if isinstance(read, dict) else {}


def _literals(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(value) for value in ast.literal_eval(f"({text},)"))
    except (SyntaxError, ValueError):
        return ()
