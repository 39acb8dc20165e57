"""Find the examples in what an optimizer shows: each optimizer writes them down in its own way."""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from workers.lm.demo.lessons import Shown

_EXAMPLE: Final = re.compile(r"Example\((\{.*?\})\) \(input_keys=(\{[^}]*\}|None)\)", re.DOTALL)
_REASONING: Final = frozenset({"reasoning", "rationale", "thought", "explanation"})
_TOLD: Final = (
    r"(?:expected|correct|right|gold|true|actual|desired|should (?:have been|be)|answer (?:is|was)|label (?:is|was))"
)
_QUOTED: Final = re.compile(_TOLD + r"[^\"'`“.;\n]{0,40}[\"'`“]([^\"'`”\n]+)[\"'`”]", re.IGNORECASE)
_ANY_QUOTED: Final = re.compile(r"[\"'`“]([^\"'`“”\n]+)[\"'`”]")
_UNQUOTED: Final = re.compile(_TOLD + r"[\w ]{0,30}?(?:\bis|\bwas|\bbe|\bbeen|:|=)\s*([\w@.#/-]*\w)", re.IGNORECASE)
_SCORE: Final = re.compile(r"score(?: of|:| is|=)?\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE)


def from_dataset(text: str) -> list[Shown]:
    """Read printed `Example({...}) (input_keys={...})` rows, as MIPROv2 shows them."""
    found = []
    for row, keys in _EXAMPLE.findall(text):
        values = _literal(row)
        if isinstance(values, dict) and len(values) > 1:
            names = _literal(keys)
            inputs = set(names) if isinstance(names, set) else set(list(values)[:-1])
            found += _shown(values, inputs)
    return found


def from_labelled_lines(text: str, inputs: Iterable[str], output: str) -> list[Shown]:
    """Read blocks of "Ticket: …" and "Team: …" lines, as MIPROv2 shows demonstrations of a module."""
    names = [*inputs, output]
    titles = {name.replace("_", " ").title(): name for name in names}
    pattern = re.compile(rf"^({'|'.join(map(re.escape, [*titles, 'Reasoning']))}):[ \t]*", re.MULTILINE)
    found, values = [], dict[str, str]()
    parts = pattern.split(text)
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        values[titles.get(title, title.lower())] = body.strip()
        if title == output.replace("_", " ").title():
            found += _shown(values, set(names[:-1]))
            values = {}
    return found


def from_rule_induction(text: str) -> list[Shown]:
    """Read "Input Fields: … Output Fields: …" blocks, as InferRules shows them."""
    found = []
    for block in text.split("Input Fields:\n")[1:]:
        asked, _, answered = block.partition("=========\nOutput Fields:\n")
        inputs, outputs = _pairs(asked), _pairs(answered)
        found += _shown(inputs | outputs, set(inputs))
    return found


def from_feedback(text: str) -> list[Shown]:
    """Read inputs, generated outputs and feedback, as GEPA shows them: JSON, or markdown headings."""
    try:
        records = json.loads(text)
    except ValueError:
        records = _from_markdown(text)
    listed = records if isinstance(records, list) else []
    return [_judged(r) for r in listed if isinstance(r, dict) and isinstance(r.get("Inputs"), dict)]


def told_answer(feedback: str, answered: str) -> str | None:
    """The right value according to a feedback; None when it does not say."""
    quoted = [value for value in dict.fromkeys(_ANY_QUOTED.findall(feedback)) if value != answered]
    for values in (_QUOTED.findall(feedback), _UNQUOTED.findall(feedback), quoted if len(quoted) == 1 else []):
        for value in values:
            if value.strip() and value.strip() != answered:
                return str(value).strip()
    return (answered or None) if _is_praise(feedback) else None


def _is_praise(feedback: str) -> bool:
    score = _SCORE.search(feedback)
    if score:
        return float(score[1]) >= 1
    praised = re.search(r"(?<!not )(?<!in)\b(?:correct|right|good|perfect|well done)\b", feedback, re.IGNORECASE)
    blamed = re.search(r"\b(?:wrong|incorrect|not correct|not right)\b", feedback, re.IGNORECASE)
    return praised is not None and blamed is None


def _judged(record: Mapping[str, Any]) -> Shown:
    inputs = {str(name): _text(value) for name, value in record["Inputs"].items()}
    outputs = record.get("Generated Outputs")
    name, answered = "answer", ""
    if isinstance(outputs, dict):
        named = [key for key in outputs if key not in _REASONING]
        name = str(named[-1]) if named else name
        answered = _text(outputs.get(name, ""))
    gold = told_answer(str(record.get("Feedback", "")), answered)
    return Shown(inputs, name, gold, wrong=answered if gold and gold != answered else None)


def _shown(values: Mapping[Any, Any], input_names: set[str]) -> list[Shown]:
    inputs = {str(name): _text(value) for name, value in values.items() if name in input_names}
    outputs = {str(k): _text(v) for k, v in values.items() if k not in input_names and k not in _REASONING}
    return [Shown(inputs, name, gold) for name, gold in list(outputs.items())[-1:] if inputs and gold]


def _from_markdown(text: str) -> list[dict[str, Any]]:
    records = []
    for block in re.split(r"^# Example \d+\n", text, flags=re.MULTILINE)[1:]:
        record: dict[str, Any] = {}
        parts = re.split(r"^## (.+)\n", block, flags=re.MULTILINE)
        for title, body in zip(parts[1::2], parts[2::2], strict=True):
            fields = re.split(r"^### (.+)\n", body, flags=re.MULTILINE)
            nested = {k: v.strip() for k, v in zip(fields[1::2], fields[2::2], strict=True)}
            record[title.strip()] = nested or body.strip()
        records.append(record)
    return records


def _pairs(text: str) -> dict[str, str]:
    parts = re.split(r"^(\w+): ", text, flags=re.MULTILINE)
    return {name: value.strip() for name, value in zip(parts[1::2], parts[2::2], strict=True)}


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)
