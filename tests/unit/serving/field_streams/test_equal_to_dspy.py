"""The law of streaming: what was sent is what DSPy parses, for any text, adapter and cutting."""

import pytest
from dspy.utils.exceptions import AdapterParseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.serving.field_streams.applied import applied, cut, done, replaced, streamed
from tests.unit.serving.field_streams.programs import (
    ADAPTERS,
    OUTPUTS,
    SIGNATURES,
    SIZES,
    fields_of,
    values_of,
    written,
)
from workers.serving.field_streams.by_adapter import AnswerFormat, field_stream
from workers.serving.field_streams.field_writer import FieldWriter

CASES = 1_700
"""Of an adapter and a way of writing: 10 200 in all."""


@pytest.mark.slow
@pytest.mark.parametrize("answer_format", ["chat", "json", "xml"])
@pytest.mark.parametrize("as_models_do", [False, True], ids=["as in demonstrations", "as models do"])
def test_tokens_are_the_value_that_dspy_parses(answer_format: AnswerFormat, *, as_models_do: bool) -> None:
    parsed = 0

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(data=st.data(), index=st.integers(0, len(OUTPUTS) - 1), sizes=SIZES)
    def law(data: st.DataObject, index: int, sizes: list[int]) -> None:
        answer = written(answer_format, index, data.draw(values_of(OUTPUTS[index])), as_models_do=as_models_do)
        fields = fields_of(OUTPUTS[index])
        writer = FieldWriter("self", fields)

        facts = streamed(writer, field_stream(answer_format, fields), cut(answer, sizes))
        try:
            values = ADAPTERS[answer_format].parse(SIGNATURES[index], answer)
        except AdapterParseError:
            assert not any(applied([*facts, *writer.retract()]).values())
            return
        alone = applied(facts)
        facts += writer.reconcile(values)

        nonlocal parsed
        parsed += 1
        texts = {field.name: values[field.name] for field in fields if field.is_text and values[field.name]}
        assert applied(facts) == texts
        assert alone == texts  # the end gave nothing that was held back, and mended nothing
        assert done(facts) == values
        assert replaced(facts) == []

    law()

    assert parsed > 0.7 * CASES
