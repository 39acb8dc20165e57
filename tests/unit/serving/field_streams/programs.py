"""Signatures with one to three outputs of several types, the adapters, and random values for them."""

import json
import re
from collections.abc import Mapping
from typing import Final, Literal

import dspy
from hypothesis import strategies as st
from pydantic import JsonValue

from workers.serving.field_streams.by_adapter import AnswerFormat
from workers.serving.field_streams.field_stream import OutputField

ADAPTERS: Final[Mapping[AnswerFormat, dspy.ChatAdapter]] = {
    "chat": dspy.ChatAdapter(),
    "json": dspy.JSONAdapter(),
    "xml": dspy.XMLAdapter(),
}
Label = Literal["yes", "no", "not sure"]
Outputs = dict[str, type]
OUTPUTS: Final[list[Outputs]] = [
    {"answer": str},
    {"reasoning": str, "answer": str},
    {"answer": str, "score": int},
    {"topics": list[str], "answer": str},
    {"label": Label, "answer": str, "note": str},
    {"answer": str, "topics": list[str], "note": str},
]
SIGNATURES: Final = [
    dspy.Signature(
        {"question": (str, dspy.InputField()), **{name: (kind, dspy.OutputField()) for name, kind in o.items()}}
    )
    for o in OUTPUTS
]
_FRAGMENTS: Final = [
    *("[", "[[", "]]", "[[ ## ", " ## ]]", "a[[0]]", "\n[[Wiki link]]\n", "\n[[ ## answ", "\n [[ ## x # ]]"),
    *("see [[ ## other ## ]]", "\n[[ ## other ## ]]\n", "\n [[ ## note ## ]] tail"),
    *('"', "'", "\\", "\\n", "\\u00e9", "\\u", '\\"', '",', '"}', "{", "}", "```json\n", "\n```"),
    *("</answer", "</answer>", "<b>", "&amp;", "&", "<", ">"),
    *("\n", "\r\n", "\r", "\n\n", " ", "  ", "\t", "\u2028", "\x85", "\xa0", "\x1f"),
    *("é", "e\u0301", "👍🏽", "\U0001d49c", "日本", "\u200d", "word", " and", "the end."),
]
TEXTS: Final = st.lists(st.sampled_from(_FRAGMENTS) | st.text(max_size=6), max_size=12).map("".join)
SIZES: Final = st.lists(st.integers(1, 9), min_size=1, max_size=6) | st.just([1_000_000])
"""Of the pieces of an answer, over and over; one large piece is an answer from a cache."""
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|(?<=]])>")


def fields_of(outputs: Outputs) -> list[OutputField]:
    return [OutputField(name, kind is str) for name, kind in outputs.items()]


def values_of(outputs: Outputs) -> st.SearchStrategy[dict[str, JsonValue]]:
    kinds: dict[object, st.SearchStrategy[JsonValue]] = {
        str: TEXTS,
        int: st.integers(),
        list[str]: st.lists(TEXTS, max_size=3),
        Label: st.sampled_from(["yes", "no", "not sure"]),
    }
    return st.fixed_dictionaries({name: kinds[kind] for name, kind in outputs.items()})


def written(answer_format: AnswerFormat, index: int, values: dict[str, JsonValue], *, as_models_do: bool) -> str:
    """Return the answer, as the adapter writes it in demonstrations, or with what models do otherwise."""
    if answer_format == "xml":
        values = {name: without_what_xml_forbids(value) for name, value in values.items()}
    answer = str(ADAPTERS[answer_format].format_assistant_message_content(SIGNATURES[index], values))
    match answer_format, as_models_do:
        case "json", True:
            return f"Here it is:\n```json\n{json.dumps(values)}\n```\n"
        case "chat", True:
            return "Sure!\n" + answer.replace(" ## ]]\n", " ## ]] ")
        case "xml", True:
            return "Sure!\n" + answer.replace(">\n", ">").replace("\n</", "<!-- the end --></")
        case _:
            return answer


def without_what_xml_forbids(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [without_what_xml_forbids(item) for item in value]
    return _NOT_IN_XML.sub("", value) if isinstance(value, str) else value
