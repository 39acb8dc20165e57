"""A chat finds its fields by a fixed rule, and a history never loses what the user said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.serving.chat_fields import (
    ChatFields,
    Turn,
    answer_text,
    chat_fields,
    question_text,
    recalled,
    recent,
    require_memory,
    turn_inputs,
)
from dspy_service.domain.serving.inputs import check_inputs
from dspy_service.domain.serving.interface import ProgramInterface
from dspy_service.domain.serving.program import ChatMapping, ProgramVersion
from tests.support.conversation_samples import NOW
from tests.support.served_programs import a_field, a_new_version, an_interface

PLAIN = ChatMapping()
WITH_HISTORY = an_interface(
    a_field("question"), a_field("history", type_name="dspy.History"), a_field("answer", "output")
)
TWO_OUTPUTS = an_interface(a_field("question"), a_field("label", "output"), a_field("score", "output", "int"))


def turn(number: int) -> Turn:
    question, answer = f"question {number}", f"answer {number}"
    return Turn(question, answer, {"question": question}, {"answer": answer, "reasoning": "Hm."})


def remembered(interface: ProgramInterface, mapping: ChatMapping, *turns: Turn) -> dict[str, object]:
    fields = chat_fields(interface, mapping)
    inputs = turn_inputs("now?", {}, fields=fields, interface=interface)
    told = recalled(inputs, turns, fields=fields, mapping=mapping)
    return dict(check_inputs(interface, told))


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param([a_field("ticket")], "ticket", id="the only text"),
        pytest.param([a_field("n", type_name="int"), a_field("ticket")], "ticket", id="the only text of several"),
        pytest.param([a_field("context"), a_field("query")], "query", id="a usual name"),
        pytest.param([a_field("text"), a_field("question")], "question", id="the more usual name"),
        pytest.param([a_field("left"), a_field("right")], None, id="none"),
        pytest.param([a_field("n", type_name="int")], None, id="no text"),
    ],
)
def test_the_question_is_found(inputs: list[object], expected: str | None) -> None:
    interface = an_interface(*inputs, a_field("answer", "output"))  # type: ignore[arg-type]  # fields, all of them

    assert chat_fields(interface, PLAIN).question == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["reply"], "reply", id="the only output"),
        pytest.param(["reasoning", "reply"], "reply", id="the only one but reasoning"),
        pytest.param(["label", "response"], "response", id="a usual name"),
        pytest.param(["label", "score"], None, id="none"),
    ],
)
def test_the_answer_is_found(names: list[str], expected: str | None) -> None:
    interface = an_interface(a_field("question"), *(a_field(name, "output") for name in names))

    assert chat_fields(interface, PLAIN).answer == expected


@pytest.mark.parametrize("type_name", ["dspy.History", "History", "Optional[History]", "dspy.History | None"])
def test_the_history_is_found_by_its_type(type_name: str) -> None:
    interface = an_interface(a_field("talk", type_name=type_name), a_field("ask"), a_field("answer", "output"))

    assert chat_fields(interface, PLAIN) == ChatFields(question="ask", history="talk", answer="answer")


def test_what_a_version_names_goes_before_the_rule() -> None:
    mapping = ChatMapping(question="right", answer="score", history="left")

    fields = chat_fields(an_interface(a_field("left"), a_field("right"), a_field("score", "output")), mapping)

    assert fields == ChatFields(question="right", history="left", answer="score")


def test_earlier_turns_are_keyed_by_fields_and_never_by_roles() -> None:
    told = remembered(WITH_HISTORY, PLAIN, turn(1), turn(2))

    assert told == {
        "question": "now?",
        "history": {
            "messages": [
                {"question": "question 1", "answer": "answer 1"},
                {"question": "question 2", "answer": "answer 2"},
            ]
        },
    }


def test_a_first_message_has_an_empty_history() -> None:
    assert remembered(WITH_HISTORY, PLAIN) == {"question": "now?", "history": {"messages": []}}


def test_a_history_that_the_caller_sent_stays() -> None:
    fields = chat_fields(WITH_HISTORY, PLAIN)
    sent = {"history": {"messages": [{"question": "mine", "answer": "yes"}]}}

    inputs = turn_inputs("now?", sent, fields=fields, interface=WITH_HISTORY)

    assert recalled(inputs, [turn(1)], fields=fields, mapping=PLAIN) == {**sent, "question": "now?"}


def test_without_a_history_field_earlier_turns_stand_before_the_message() -> None:
    told = remembered(an_interface(), PLAIN, turn(1))

    assert told == {"question": "User: question 1\nAssistant: answer 1\nUser: now?"}


def test_a_version_may_ignore_earlier_turns() -> None:
    assert remembered(an_interface(), ChatMapping(history_policy="ignore"), turn(1)) == {"question": "now?"}


def test_a_program_without_an_answer_field_is_told_all_its_outputs() -> None:
    interface = an_interface(*TWO_OUTPUTS.fields, a_field("history", type_name="dspy.History"))
    earlier = Turn("q", '{"label": "a", "score": 2}', {"question": "q"}, {"label": "a", "score": 2, "reasoning": "x"})

    told = remembered(interface, PLAIN, earlier)

    assert told["history"] == {"messages": [{"question": "q", "label": "a", "score": 2}]}


def test_a_program_without_a_question_field_takes_a_json_object() -> None:
    interface = an_interface(
        a_field("left"), a_field("right"), a_field("past", type_name="History"), a_field("answer", "output")
    )
    fields = chat_fields(interface, PLAIN)

    inputs = turn_inputs('{"left": "a"}', {"right": "b"}, fields=fields, interface=interface)
    told = recalled(inputs, [Turn("{}", "yes", {"left": "l"}, {"answer": "yes"})], fields=fields, mapping=PLAIN)

    assert told == {"left": "a", "right": "b", "past": {"messages": [{"left": "l", "answer": "yes"}]}}


@pytest.mark.parametrize("message", ["hello", '["left"]', '{"middle": "a"}', "", "{"])
def test_a_message_without_a_place_is_refused_with_the_inputs(message: str) -> None:
    interface = an_interface(a_field("left"), a_field("right"), a_field("answer", "output"))

    with pytest.raises(InvalidRequestError, match="left, right"):
        turn_inputs(message, {}, fields=chat_fields(interface, PLAIN), interface=interface)


def test_a_question_is_not_sent_twice() -> None:
    fields = chat_fields(an_interface(), PLAIN)

    with pytest.raises(InvalidRequestError, match=r"inputs\.question"):
        turn_inputs("a", {"question": "b"}, fields=fields, interface=an_interface())
    assert turn_inputs(None, {"question": "b"}, fields=fields, interface=an_interface()) == {"question": "b"}


def test_inputs_without_a_message_are_shown_as_one() -> None:
    fields = chat_fields(WITH_HISTORY, PLAIN)

    assert question_text({"question": "b"}, fields) == "b"
    assert question_text({"n": 1, "history": {}}, ChatFields(None, "history", None)) == '{"n": 1}'


def test_an_answer_is_read_as_text() -> None:
    prediction = {"reasoning": "Hm.", "label": "é", "score": 2}

    assert answer_text(prediction, ChatFields(None, None, "label")) == "é"
    assert answer_text(prediction, ChatFields(None, None, "score")) == "2"
    assert answer_text(prediction, ChatFields(None, None, None)) == '{"label": "é", "score": 2}'


def test_the_window_holds_the_newest_turns() -> None:
    turns = [turn(number) for number in range(5)]

    assert recent(turns, max_turns=2, max_tokens=1000) == turns[3:]
    assert recent(turns, max_turns=0, max_tokens=1000) == []
    assert recent(turns, max_turns=9, max_tokens=turns[4].tokens) == turns[4:]
    assert recent(turns, max_turns=9, max_tokens=turns[4].tokens - 1) == []


@given(
    st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), max_size=8), st.integers(0, 9), st.integers(0, 60)
)
def test_a_window_is_the_end_of_a_talk_and_as_long_as_it_may_be(
    said: list[tuple[str, str]], max_turns: int, max_tokens: int
) -> None:
    turns = [Turn(question, answer, {}, {}) for question, answer in said]

    window = recent(turns, max_turns=max_turns, max_tokens=max_tokens)

    longer = turns[len(turns) - len(window) - 1 :]
    assert window == turns[len(turns) - len(window) :]
    assert len(window) <= max_turns
    assert sum(each.tokens for each in window) <= max_tokens
    assert len(window) in {len(turns), max_turns} or sum(each.tokens for each in longer) > max_tokens


def test_a_version_may_refuse_to_go_on() -> None:
    def version(interface: ProgramInterface) -> ProgramVersion:
        new = a_new_version(chat=ChatMapping(history_policy="reject"), interface=interface)
        return ProgramVersion(**dict(new), version=1, created_at=NOW)

    with pytest.raises(UnsupportedRequestError):
        require_memory(version(an_interface()))
    require_memory(version(WITH_HISTORY))
