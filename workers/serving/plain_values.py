"""Values between JSON and a program whose fields are plain data."""

from collections.abc import Mapping
from typing import Any, cast

import dspy
import pydantic_core
from pydantic import JsonValue

from dspy_service.domain.serving.chat_fields import answer_text, fields_of
from dspy_service.domain.serving.interface import ProgramInterface
from dspy_service.domain.serving.program import ProgramVersion
from workers.serving.field_streams.characters import mended_value


def as_inputs(values: Mapping[str, JsonValue], interface: ProgramInterface) -> dict[str, Any]:
    """Return a run's inputs as DSPy takes them: a history becomes a ``dspy.History``.

    Raises:
        ValueError: a history is not one.
    """
    histories = {field.name for field in interface.inputs if field.is_history}
    return {name: dspy.History.model_validate(value) if name in histories else value for name, value in values.items()}


def as_json(prediction: dspy.Prediction) -> dict[str, JsonValue]:
    """Return a prediction as data; what JSON cannot say is written as text, and half characters are mended."""
    values = pydantic_core.to_jsonable_python(dict(prediction.items()), fallback=str, inf_nan_mode="strings")
    return cast("dict[str, JsonValue]", mended_value(values))


def answer_of(values: Mapping[str, JsonValue], version: ProgramVersion) -> str | None:
    """Return the text of the answer field; None where the program has none."""
    fields = fields_of(version)
    return answer_text(values, fields) if fields.answer in values else None
