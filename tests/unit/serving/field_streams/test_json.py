"""The JSON format: decoded as it comes, and mended as DSPy mends it where that can be known."""

import json

import pytest

from tests.unit.serving.field_streams.applied import shown
from tests.unit.serving.field_streams.programs import ADAPTERS, SIGNATURES
from workers.serving.field_streams.field_stream import FieldDelta, OutputField
from workers.serving.field_streams.json_object import JsonObjectStream

ANSWER = [OutputField("answer", is_text=True)]


def test_text_is_shown_as_it_comes() -> None:
    stream = JsonObjectStream(ANSWER)

    assert stream.feed('{"answer": "Yes') == [FieldDelta("answer", "Yes")]
    assert stream.feed(', sir"') == [FieldDelta("answer", ", sir")]


def test_an_escape_waits_until_it_is_complete() -> None:
    stream = JsonObjectStream(ANSWER)
    stream.feed('{"answer": "')

    assert stream.feed("a\\") == [FieldDelta("answer", "a")]
    assert stream.feed('"b\\u00') == [FieldDelta("answer", '"b')]
    assert stream.feed("e9") == [FieldDelta("answer", "é")]


def test_whitespace_at_the_end_belongs_to_the_text() -> None:
    assert shown("json", ANSWER, '{"answer": " a ', ' \\n"', "}") == {"answer": " a  \n"}


def test_other_members_are_passed_over_however_deep() -> None:
    other = json.dumps({"tags": [{"answer": "no } ] \\"}, ["x", ',"answer": "no"']], "score": -1.5, "none": None})

    assert shown("json", ANSWER, *(other[:-1] + ', "answer": "yes"}')) == {"answer": "yes"}


@pytest.mark.parametrize(
    "other", [r'"\u0061nswer": "yes"', r'"\q": [1], "answer": "yes"', '"a\nb": "", "answer": "yes"']
)
def test_a_name_may_be_escaped_or_odd(other: str) -> None:
    assert shown("json", ANSWER, *f"{{{other}}}") == {"answer": "yes"}


def test_only_the_first_member_of_a_name_is_shown() -> None:
    assert shown("json", ANSWER, '{"answer": "a", "answer": "b"}') == {"answer": "a"}


@pytest.mark.parametrize("end", ["}", '"x": 1}', '"x": [1]}', '"x": "y" }'])
def test_nothing_is_shown_behind_the_object(end: str) -> None:
    assert shown("json", ANSWER, "{" + end, ', "answer": "x"', ' {"y": 2, "answer": "z"}') == {}


def test_a_comma_behind_a_text_may_be_missing() -> None:
    fields = [OutputField("reasoning", is_text=True), *ANSWER]
    answer = '{"reasoning": "r" "answer": "a"}'

    assert shown("json", fields, *answer) == ADAPTERS["json"].parse(SIGNATURES[1], answer)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param('{"answer": "l1\nl2"}', id="a raw line break"),
        pytest.param('{"answer": "l1\nl2\n"}', id="a raw line break at the end"),
        pytest.param('{"answer": "\\(x\\) \\frac"}', id="escapes of LaTeX"),
        pytest.param('{"answer": "\\(a\\/b\\)\\n"}', id="a mended escape and a break at the end"),
        pytest.param('```json\n{"answer": "a\\/b"}\n```', id="a fence"),
        pytest.param('{"answer": "cut  ', id="truncated"),
        pytest.param('{"answer": "a"} and more', id="words behind"),
    ],
)
def test_what_dspy_mends_is_shown_mended(answer: str) -> None:
    assert shown("json", ANSWER, *answer) == ADAPTERS["json"].parse(SIGNATURES[0], answer)


@pytest.mark.parametrize(
    "answer", ['["answer", "x"]', "no object", '{answer: "x"}', '{"answer" "x"}', "{" + "a" * 2_000]
)
def test_what_is_no_object_shows_nothing(answer: str) -> None:
    assert shown("json", ANSWER, *answer) == {}


def test_a_text_that_is_no_string_is_not_shown() -> None:
    assert shown("json", ANSWER, '{"answer": {"answer": "x"}}') == {}


def test_nothing_is_shown_once_the_object_is_odd() -> None:
    fields = [*ANSWER, OutputField("note", is_text=True)]

    assert shown("json", fields, '{"answer": "he said "hi"", "note": "x"}') == {"answer": "he said "}


def test_a_name_that_never_ends_is_given_up() -> None:
    assert shown("json", ANSWER, '{"' + "a" * 2_000, '": 1, "answer": "x"}') == {}
