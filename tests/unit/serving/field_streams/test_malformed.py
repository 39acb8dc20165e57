"""Answers that keep to no format: a stream never raises, and reconciling always ends in the value."""

import json

import pytest
from dspy.utils.exceptions import AdapterParseError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.serving.field_streams.applied import applied, cut, replaced, streamed
from tests.unit.serving.field_streams.programs import (
    ADAPTERS,
    OUTPUTS,
    SIGNATURES,
    SIZES,
    TEXTS,
    fields_of,
    values_of,
    written,
)
from workers.serving.field_streams.by_adapter import AnswerFormat, field_stream
from workers.serving.field_streams.characters import mended
from workers.serving.field_streams.field_writer import FieldWriter

INDEX = 1
FIELDS = fields_of(OUTPUTS[INDEX])
EMPTY = {"reasoning": "", "answer": ""}
MARKS = [
    *("[[ ## answer ## ]]", "\n[[ ## answer ## ]]", "[[ ## reasoning ## ]]\n", "\t\u3000[[ ## answer ## ]] x  "),
    *("[[ ## completed ## ]]", '{"answer": "', '{"reasoning": ', '"answer"', ": ", '"', "'", "{", "}", "[", "]", ","),
    *("null", "12", "\\", "\\ud83d", "\\ude00", "\ud83d", "\x00", "```json\n"),
    *("<answer>", "</answer>", "<reasoning>", "</reasoning>", "<answer/>", '<entry key="answer">', "</entry>"),
    *("<![CDATA[", "]]>", "<!-- ", " -->", "&#65;", "&amp", "<?x ?>", "</dspy_root>"),
]
GARBAGE = st.lists(st.sampled_from(MARKS) | TEXTS, max_size=8).map("".join)


@pytest.mark.parametrize("answer_format", ["chat", "json", "xml"])
@settings(deadline=None)
@given(answer=GARBAGE, sizes=SIZES, value=TEXTS)
def test_any_answer_ends_in_the_value_that_was_parsed(
    answer_format: AnswerFormat, answer: str, sizes: list[int], value: str
) -> None:
    writer = FieldWriter("self", FIELDS)

    facts = streamed(writer, field_stream(answer_format, FIELDS), cut(answer, sizes))
    facts += writer.reconcile({"reasoning": value, "answer": answer})

    assert EMPTY | applied(facts) == {"reasoning": value, "answer": mended(answer)}


@pytest.mark.parametrize("answer_format", ["chat", "json"])
@settings(deadline=None)
@given(data=st.data(), sizes=SIZES, as_models_do=st.booleans())
def test_a_truncated_answer_is_shown_as_far_as_dspy_reads_it(
    answer_format: AnswerFormat, data: st.DataObject, sizes: list[int], *, as_models_do: bool
) -> None:
    whole = written(answer_format, INDEX, data.draw(values_of(OUTPUTS[INDEX])), as_models_do=as_models_do)
    answer = whole[: data.draw(st.integers(0, len(whole)))]
    writer = FieldWriter("self", FIELDS)

    facts = streamed(writer, field_stream(answer_format, FIELDS), cut(answer, sizes))
    try:
        values = ADAPTERS[answer_format].parse(SIGNATURES[INDEX], answer)
    except AdapterParseError:
        facts += writer.retract()
        values = {}
    facts += writer.reconcile(values)

    assert EMPTY | applied(facts) == {name: mended(text) for name, text in (EMPTY | values).items()}
    assert answer_format == "json" or values == {} or replaced(facts) == []


@given(head=TEXTS, answer=TEXTS, sizes=SIZES)
@settings(deadline=None)
def test_a_fence_and_words_around_an_object_cost_no_replacement(head: str, answer: str, sizes: list[int]) -> None:
    head = head.replace("{", "").replace("[", "").replace('"', "").replace("“", "")
    text = f"{head}\n```json\n{json.dumps({'reasoning': '', 'answer': answer})}\n```"
    writer = FieldWriter("self", FIELDS)

    facts = streamed(writer, field_stream("json", FIELDS), cut(text, sizes))

    assert {"answer": ""} | applied(facts) == {"answer": answer}
