"""A chat goes into a program's fields, and the right outputs come back."""

import json

import pytest
from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.serving.chat_fields import Turn, fields_of
from dspy_service.domain.serving.interface import ProgramField
from dspy_service.domain.serving.openai_mapping import AskedRun, ReplyShape, asked_run, wanted_outputs
from dspy_service.domain.serving.openai_memo import RememberedTurn
from dspy_service.domain.serving.openai_messages import Talk
from dspy_service.domain.serving.program import ProgramVersion
from tests.support.run_stories import NOW
from tests.support.served_programs import a_field, a_new_version, an_interface

ANSWER = a_field("answer", "output")
HISTORY = a_field("history", type_name="dspy.History")


def version(*fields: ProgramField, **chat: object) -> ProgramVersion:
    interface = an_interface(*(fields or (a_field("question"), ANSWER)))
    return ProgramVersion(**dict(a_new_version(interface=interface, chat=chat)), version=1, created_at=NOW)


def asked(
    message: str, of: ProgramVersion, *, system: str = "", pairs: tuple[tuple[str, str], ...] = (), **inputs: JsonValue
) -> AskedRun:
    return asked_run(Talk(system=system, pairs=pairs, message=message), of, path="messages", inputs=inputs)


def test_a_json_object_of_several_inputs_is_those_inputs() -> None:
    program = version(a_field("question"), a_field("context"), HISTORY, ANSWER)

    found = asked('{"question": "Why?", "context": "Sky."}', program)

    assert found.inputs == {"history": {"messages": []}, "question": "Why?", "context": "Sky."}


@pytest.mark.parametrize("message", ['{"question": "Why?"}', "{no json", "[1]"], ids=["json", "brace", "list"])
def test_the_message_of_a_program_with_one_input_is_its_text(message: str) -> None:
    assert asked(message, version()).inputs == {"question": message}


@pytest.mark.parametrize("message", ['{"question": "Why?", "other": 1}', "{}", "{no json"])
def test_other_json_is_a_text(message: str) -> None:
    program = version(a_field("question"), a_field("year", type_name="int"), ANSWER)

    assert asked(message, program, year=3).inputs == {"question": message, "year": 3}


def test_a_program_without_a_question_field_takes_inputs_alone() -> None:
    program = version(a_field("a"), a_field("b"), ANSWER)

    assert asked("", program, a="1", b="2").inputs == {"a": "1", "b": "2"}
    assert asked('{"a": "1", "b": "2"}', program).inputs == {"a": "1", "b": "2"}
    with pytest.raises(InvalidRequestError, match="messages: must be a JSON object"):
        asked("Why?", program)


def test_earlier_pairs_stand_before_the_message() -> None:
    assert asked("2?", version(), pairs=(("1?", "one"),)).inputs == {"question": "User: 1?\nAssistant: one\nUser: 2?"}


def test_a_program_that_ignores_what_was_said_warns() -> None:
    found = asked("2?", version(history_policy="ignore"), pairs=(("1?", "one"),))

    assert found.inputs == {"question": "2?"}
    assert found.warnings == ("earlier messages: this program answers single messages only",)


def test_a_system_message_goes_to_an_input_for_it() -> None:
    program = version(a_field("question"), a_field("instructions"), ANSWER, question="question")

    found = asked("Why?", program, system="Be brief.")

    assert found.inputs == {"question": "Why?", "instructions": "Be brief."}
    assert (found.instructions, found.warnings) == (None, ())


@pytest.mark.parametrize(
    ("form", "names"),
    [
        (None, None),
        ({}, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, ("answer", "score")),
        ({"type": "json_schema", "name": "x", "schema": {"properties": {"score": {}}}}, ("score",)),
        ({"type": "json_schema", "json_schema": {"schema": {"properties": {"answer": {}}}}}, ("answer",)),
    ],
    ids=["none", "empty", "text", "object", "schema", "nested"],
)
def test_a_format_names_outputs(form: dict[str, JsonValue] | None, names: tuple[str, ...] | None) -> None:
    outputs = (a_field("reasoning", "output"), ANSWER, a_field("score", "output", "int"))

    assert wanted_outputs(form, an_interface(a_field("question"), *outputs), path="response_format") == names


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"type": "grammar"}, UnsupportedRequestError),
        ({"type": "json_schema"}, InvalidRequestError),
        ({"type": "json_schema", "schema": {"properties": {}}}, InvalidRequestError),
        ({"type": "json_schema", "schema": {"properties": {"other": {}}}}, UnsupportedRequestError),
    ],
    ids=["kind", "no schema", "empty", "other"],
)
def test_a_format_that_the_program_has_not_is_refused(form: dict[str, JsonValue], error: type[Exception]) -> None:
    with pytest.raises(error, match="response_format: must"):
        wanted_outputs(form, an_interface(), path="response_format")


def test_a_typed_answer_is_told_as_text_at_the_end() -> None:
    program = version(a_field("question"), a_field("answer", "output", "list[int]"))
    shape = ReplyShape(fields_of(program), program.interface)

    assert shape.streamed is None
    assert json.loads(shape.text({"answer": [1, 2]})) == [1, 2]
    assert shape.reasoning_text({"answer": [1, 2]}) == ""


@pytest.mark.parametrize("has_fields", [True, False])
def test_a_turn_is_remembered_as_small_as_it_can_be(has_fields: bool) -> None:  # noqa: FBT001  # drawn
    several = version(a_field("a"), a_field("b"), HISTORY, a_field("x", "output"), a_field("y", "output"))
    fields = fields_of(version() if has_fields else several)
    turn = Turn("1?", "one", {"a": "1", "history": {"messages": []}}, {"x": "one"})

    kept = RememberedTurn.of(turn, fields)

    assert (kept.inputs, kept.outputs) == (({}, {}) if has_fields else ({"a": "1"}, {"x": "one"}))
    assert kept.turn().question == "1?"
