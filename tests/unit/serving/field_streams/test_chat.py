"""The chat format: what is shown at once, what waits, and what DSPy cuts off."""

import pytest

from tests.unit.serving.field_streams.applied import shown
from workers.serving.field_streams.chat import ChatStream
from workers.serving.field_streams.field_stream import FieldDelta, OutputField

ANSWER = [OutputField("answer", is_text=True)]
BOTH = [OutputField("reasoning", is_text=True), *ANSWER]


def test_the_first_word_is_shown_at_once() -> None:
    stream = ChatStream(ANSWER)
    stream.feed("[[ ## answer ## ]]\n")

    deltas = stream.feed("Yes")

    assert deltas == [FieldDelta("answer", "Yes")]


def test_text_behind_a_header_in_its_line_is_shown_at_once() -> None:
    deltas = ChatStream(ANSWER).feed("[[ ## answer ## ]] Yes")

    assert deltas == [FieldDelta("answer", "Yes")]


def test_the_rest_of_a_header_line_is_stripped_by_itself() -> None:
    assert shown("chat", ANSWER, "[[ ## answer ## ]]  x ", " ", "\n  y") == {"answer": "x\n  y"}


def test_brackets_within_a_line_are_text_and_do_not_wait() -> None:
    stream = ChatStream(ANSWER)
    stream.feed("[[ ## answer ## ]]\ncode ")

    assert stream.feed("a[[") == [FieldDelta("answer", " a[[")]
    assert stream.feed(" ## 0 ## ]]") == [FieldDelta("answer", " ## 0 ## ]]")]


def test_the_beginning_of_a_line_waits_only_while_it_may_be_a_header() -> None:
    stream = ChatStream(ANSWER)
    stream.feed("[[ ## answer ## ]]\nsee\n")

    assert stream.feed("[[") == []
    assert stream.feed(" ## Wiki") == []
    assert stream.feed(" link") == [FieldDelta("answer", "\n[[ ## Wiki link")]


def test_whitespace_waits_for_text() -> None:
    stream = ChatStream(ANSWER)

    assert stream.feed("[[ ## answer ## ]]\n\n one \n") == [FieldDelta("answer", "one")]
    assert stream.feed("\t") == []
    assert stream.feed("two") == [FieldDelta("answer", " \n\ttwo")]


def test_the_beginning_of_a_header_at_the_end_is_text() -> None:
    assert shown("chat", ANSWER, "[[ ## answer ## ]]\nx\n[[ ## comp") == {"answer": "x\n[[ ## comp"}


def test_a_header_of_no_field_ends_the_text() -> None:
    assert shown("chat", ANSWER, "[[ ## answer ## ]]\nx\n[[ ## other ## ]]\ny") == {"answer": "x"}


def test_only_the_first_section_of_a_field_counts() -> None:
    answer = "[[ ## answer ## ]]\nx\n[[ ## reasoning ## ]]\nr\n[[ ## answer ## ]]\ny"

    assert shown("chat", BOTH, answer) == {"answer": "x", "reasoning": "r"}


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        pytest.param(["a\r\nb"], "a\nb", id="together"),
        pytest.param(["a\r", "\nb"], "a\nb", id="cut in two"),
        pytest.param(["a\r", "b"], "a\nb", id="no line feed"),
        pytest.param(["a\r", "", "\r\n", "b"], "a\n\nb", id="two breaks"),
        pytest.param(["a\u2028b"], "a\nb", id="a line separator"),
    ],
)
def test_every_line_break_is_a_line_feed(pieces: list[str], text: str) -> None:
    assert shown("chat", ANSWER, "[[ ## answer ## ]]\n", *pieces) == {"answer": text}


def test_an_indented_header_leaves_what_it_leaves_in_dspy() -> None:
    assert shown("chat", ANSWER, "  [[ ## answer ## ]] x") == {"answer": "]] x"}


def test_a_field_that_is_no_text_is_not_shown() -> None:
    fields = [OutputField("score", is_text=False), *ANSWER]

    assert shown("chat", fields, "[[ ## score ## ]]\n5\n[[ ## answer ## ]]\nx") == {"answer": "x"}
