"""Facts about fields: offsets, retraction, reconciliation, and characters cut in half."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.serving.run_events import FieldDone, TextReplaced, TokenWritten
from tests.unit.serving.field_streams.applied import applied, cut, streamed
from tests.unit.serving.field_streams.programs import SIZES, TEXTS
from workers.serving.field_streams.by_adapter import AnswerFormat, field_stream
from workers.serving.field_streams.field_stream import FieldDelta, OutputField
from workers.serving.field_streams.field_writer import FieldWriter

REASONING = OutputField("reasoning", is_text=True)
ANSWER = OutputField("answer", is_text=True)
SCORE = OutputField("score", is_text=False)


def token(text: str, offset: int, field: str = "answer") -> TokenWritten:
    return TokenWritten(field=field, predictor="self", text=text, offset=offset)


def test_tokens_carry_where_they_begin_counted_in_characters() -> None:
    writer = FieldWriter("self", [ANSWER])

    facts = [*writer.write([FieldDelta("answer", "👍🏽")]), *writer.write([FieldDelta("answer", " ok")])]

    assert facts == [token("👍🏽", 0), token(" ok", 2)]


def test_deltas_that_follow_each_other_are_one_token() -> None:
    writer = FieldWriter("self", [REASONING, ANSWER])
    deltas = [
        FieldDelta("answer", "a"),
        FieldDelta("answer", "b"),
        FieldDelta("reasoning", "c"),
        FieldDelta("answer", "d"),
    ]

    facts = writer.write(deltas)

    assert [(fact.type, fact.text) for fact in facts] == [("token", "ab"), ("reasoning", "c"), ("token", "d")]


def test_facts_name_the_predictor_and_its_turn() -> None:
    writer = FieldWriter("react.react", [OutputField("next_thought", is_text=True)], turn=2)

    facts = [*writer.write([FieldDelta("next_thought", "x")]), *writer.reconcile({"next_thought": "y"})]

    assert [(fact.type, fact.predictor, fact.turn) for fact in facts] == [
        ("reasoning", "react.react", 2),
        ("replace", "react.react", 2),
        ("field_done", "react.react", 2),
    ]


def test_a_retraction_empties_what_has_text_and_starts_anew() -> None:
    writer = FieldWriter("self", [REASONING, ANSWER])
    writer.write([FieldDelta("answer", "wrong")])

    retracted = writer.retract()

    assert retracted == [TextReplaced(field="answer", predictor="self", text="")]
    assert not writer.has_text
    assert writer.retract() == []
    assert writer.write([FieldDelta("answer", "right")]) == [token("right", 0)]
    assert writer.has_text


def test_what_is_missing_at_the_end_comes_as_a_token() -> None:
    writer = FieldWriter("self", [ANSWER])
    writer.write([FieldDelta("answer", "Some")])

    facts = writer.reconcile({"answer": "Sometimes"})

    assert facts == [token("times", 4), FieldDone(field="answer", predictor="self", value="Sometimes")]


def test_what_was_shown_in_error_is_replaced() -> None:
    writer = FieldWriter("self", [ANSWER])
    writer.write([FieldDelta("answer", "Help")])

    facts = writer.reconcile({"answer": "Hello"})

    assert facts[0] == TextReplaced(field="answer", predictor="self", text="Hello")
    assert applied(facts) == {"answer": "Hello"}


def test_a_field_that_is_no_text_is_only_done() -> None:
    facts = FieldWriter("self", [SCORE, ANSWER]).reconcile({"score": 5, "answer": None})

    assert facts == [
        FieldDone(field="score", predictor="self", value=5),
        FieldDone(field="answer", predictor="self", value=None),
    ]


def test_a_field_without_a_value_stays_as_it_was_sent() -> None:
    writer = FieldWriter("self", [ANSWER])
    writer.write([FieldDelta("answer", "so far")])

    assert writer.reconcile({}) == []
    assert writer.has_text


def test_half_a_character_waits_for_its_other_half() -> None:
    writer = FieldWriter("self", [ANSWER])

    facts = [*writer.write([FieldDelta("answer", "a\ud83d")]), *writer.write([FieldDelta("answer", "\udc4d")])]

    assert facts == [token("a", 0), token("👍", 1)]


@pytest.mark.parametrize("half", [chr(0xD83D), "\ufffd"], ids=["half", "mended before"])
def test_half_a_character_alone_becomes_a_mark(half: str) -> None:
    writer = FieldWriter("self", [ANSWER, SCORE])
    writer.write([FieldDelta("answer", "a\ud83d")])

    facts = writer.reconcile({"answer": "a" + half, "score": {"\ude00": ["\ud83d\udc4d", "\ud83d", 1]}})

    assert facts == [
        token("\ufffd", 1),
        FieldDone(field="answer", predictor="self", value="a\ufffd"),
        FieldDone(field="score", predictor="self", value={"\ufffd": ["👍", "\ufffd", 1]}),
    ]


@given(answer=TEXTS, sizes=SIZES)
def test_a_plain_answer_is_its_only_field(answer: str, sizes: list[int]) -> None:
    writer = FieldWriter("self", [ANSWER])

    facts = streamed(writer, field_stream("plain", [ANSWER]), cut(answer, sizes))

    assert {"answer": ""} | applied(facts) == {"answer": answer.strip()}


@given(text=st.text(st.sampled_from("a\ud83d\udc4d👍é"), max_size=20), sizes=SIZES)
def test_mending_does_not_depend_on_where_a_text_is_cut(text: str, sizes: list[int]) -> None:
    writer = FieldWriter("self", [ANSWER])

    facts = [fact for piece in cut(text, sizes) for fact in writer.write([FieldDelta("answer", piece)])]
    facts += writer.reconcile({"answer": text})

    assert not any(isinstance(fact, TextReplaced) for fact in facts)


@pytest.mark.parametrize(
    ("answer_format", "field"), [("plain", SCORE), ("unknown", ANSWER)], ids=["plain score", "unknown"]
)
def test_what_cannot_be_told_is_sent_when_it_is_parsed(answer_format: AnswerFormat, field: OutputField) -> None:
    stream = field_stream(answer_format, [field])

    assert stream.feed("text") == []
    assert stream.end() == []
