"""What a program takes and gives is read from its files; files that are not in order are refused with a sentence."""

import json
from typing import Any

import pytest

from dspy_service.domain.program_state import ProgramStateError
from dspy_service.domain.serving.program_description import MAX_INTERFACE_BYTES, describe_program
from tests.support.compiled_programs import ANSWER, QUESTION, compiled_files, several_predictors


def described(*fields: dict[str, Any], **changes: Any) -> Any:  # noqa: ANN401  # a description
    return describe_program(*compiled_files(*fields, **changes))


def test_instructions_and_descriptions_are_those_of_the_optimized_program() -> None:
    found = described(instructions="Think hard.", descriptions={"question": "what a user wants to know"})

    assert found.interface.instructions == "Think hard."
    assert [(field.name, field.side, field.description) for field in found.interface.fields] == [
        ("question", "input", "what a user wants to know"),
        ("answer", "output", None),
    ]


def test_a_chain_of_thought_has_its_reasoning_before_its_answers() -> None:
    found = described(module="cot")

    assert [field.name for field in found.interface.outputs] == ["reasoning", "answer"]
    assert all(field.is_text for field in found.interface.outputs)
    assert found.why_not_plain("cot") is None


def test_defaults_and_constraints_are_kept() -> None:
    limit = {"name": "limit", "side": "input", "type": "int", "desc": "${limit}"}

    found = described(QUESTION, {**limit, "default": 3, "constraints": "less than: 9"}, ANSWER)

    question, field, _ = found.interface.fields
    assert (field.default, field.is_required, field.constraints) == (3, False, "less than: 9")
    assert question.is_required


def test_a_default_of_null_is_a_default() -> None:
    found = described(QUESTION, {"name": "hint", "side": "input", "type": "str | None", "default": None}, ANSWER)

    assert [field.is_required for field in found.interface.inputs] == [True, False]


def test_the_facts_of_the_job_come_along() -> None:
    found = described(adapter="JSONAdapter", module_kwargs={"temperature": 0.5})

    assert (found.adapter, found.optimizer_name) == ("json", "miprov2")
    assert (found.baseline_score, found.optimized_score) == (0.25, 0.75)
    assert found.module_kwargs == {"temperature": 0.5}


@pytest.mark.parametrize("module", ["predict", "cot"])
def test_a_program_of_plain_types_needs_none_of_its_code(module: str) -> None:
    history = {"name": "history", "side": "input", "type": "History", "desc": "${history}"}

    found = described(QUESTION, history, ANSWER, module=module)

    assert found.why_not_plain(module) is None


def test_a_type_of_its_own_needs_its_code() -> None:
    found = described(QUESTION, {**ANSWER, "type": "Optional[Details]"})

    assert found.interface.fields[1].json_schema == {}
    assert "field 'answer', Optional[Details]" in str(found.why_not_plain("predict"))


def test_a_default_that_json_cannot_say_needs_its_code() -> None:
    found = described({**QUESTION, "default_is_code": True}, ANSWER)

    question = found.interface.fields[0]
    assert "default of its field 'question'" in str(found.why_not_plain("predict"))
    assert (question.is_required, question.has_default_of_code, question.default) == (False, True, None)


def test_a_type_of_its_own_may_say_what_it_is() -> None:
    shape = {"type": "object", "properties": {"urgency": {"type": "integer"}}}

    found = described(QUESTION, {**ANSWER, "type": "Details", "json_schema": shape})

    assert found.interface.fields[1].json_schema == shape
    assert found.why_not_plain("predict") is not None


@pytest.mark.parametrize(
    "shape",
    [{"$ref": "https://evil.example/"}, {"description": "x" * 20_000}, "text", None],
    ids=lambda each: str(each)[:9],
)
def test_a_schema_that_may_not_be_shown_is_as_good_as_none(shape: object) -> None:
    found = described(QUESTION, {**ANSWER, "type": "Details", "json_schema": shape})

    assert found.interface.fields[1].json_schema == {}


def test_a_plain_type_is_what_its_name_says_whatever_the_file_adds() -> None:
    found = described(QUESTION, {**ANSWER, "json_schema": {"type": "integer"}})

    assert found.interface.fields[1].json_schema == {"type": "string"}


def test_schemas_that_are_too_many_are_left_out_before_the_program_is_refused() -> None:
    shape = {"description": "x" * 15_000}
    fields = [{**QUESTION, "name": f"field_{number}", "type": "Own", "json_schema": shape} for number in range(20)]

    found = described(*fields, ANSWER)

    assert [field.json_schema for field in found.interface.inputs] == [{}] * 20
    assert found.interface.outputs[0].json_schema == {"type": "string"}


def test_a_module_that_only_the_operator_has_needs_its_code() -> None:
    found = described(module="cot")

    assert "operator's own" in str(found.why_not_plain("agent"))
    assert "`predictors`" in str(found.why_not_plain("predict"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signature": None}, "signature"),
        ({"signature": {"name": "A", "fields": []}}, r"signature\.fields"),
        ({"signature": {"name": "A", "fields": [{**QUESTION, "side": "both"}]}}, r"fields\.0\.side"),
        ({"signature": {"name": "A", "fields": [QUESTION]}}, "inputs, then outputs"),
        ({"signature": {"name": "A", "fields": [ANSWER, QUESTION]}}, "inputs, then outputs"),
        ({"module_name": 3}, "module_name"),
        ({"module_kwargs": []}, "module_kwargs"),
        ({"predictors": {}}, "predictors"),
        ({"predictors": {"self": ["question"]}}, "2 fields|1 fields"),
        ({"baseline_test_metric": "good"}, "baseline_test_metric"),
    ],
)
def test_metadata_that_is_not_in_order_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProgramStateError, match=words):
        described(**changes)


@pytest.mark.parametrize("name", ["config", "lm", "demos", "signature", "new_signature", "self", "_hidden", "dspy_x"])
def test_an_input_that_would_steer_dspy_is_refused(name: str) -> None:
    with pytest.raises(ProgramStateError, match="DSPy needs for itself"):
        described({**QUESTION, "name": name}, ANSWER)


def test_a_program_of_several_predictors_needs_its_code_and_keeps_the_words_of_its_signature() -> None:
    asked = {**QUESTION, "desc": "what a user wants to know"}

    found = describe_program(*several_predictors(compiled_files(asked, ANSWER, module="cot")))

    assert found.interface.instructions == "Answer."
    assert [(field.name, field.description) for field in found.interface.fields] == [
        ("question", "what a user wants to know"),
        ("answer", None),
    ]
    assert found.why_not_plain("cot") is not None
    assert not found.is_one_predictor("cot")


def test_a_signature_that_would_fill_the_store_is_refused() -> None:
    with pytest.raises(ProgramStateError, match="the signature is larger"):
        described(instructions="x" * MAX_INTERFACE_BYTES)


def test_a_state_with_an_endpoint_in_it_is_refused() -> None:
    program, metadata = compiled_files()
    hostile = {**json.loads(program), "config": {"api_base": "http://evil.example"}}

    with pytest.raises(ProgramStateError, match="exactly"):
        describe_program(json.dumps(hostile).encode(), metadata)
