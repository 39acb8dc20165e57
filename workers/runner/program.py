"""Builds what the job is about from its order: the program, the examples and the models."""

from collections.abc import Mapping, Sequence
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.job import Failure
from dspy_service.domain.spec import ColumnMapping, Row
from workers.runner.failures import JobEnd, JobFailed, failure_of
from workers.runner.models import BrokerLM, RoleTally, build_lm
from workers.runner.order import Order
from workers.runner.stage import Stage
from workers.sandbox import imports


def resolve(path: str) -> Any:  # noqa: ANN401  # a dotted path may name anything
    """Import what a dotted path names.

    Raises:
        JobFailed: there is no such thing; kind ``program_error``.
    """
    try:
        return imports.resolve(path)
    except ConfigurationError as error:
        raise JobFailed(Failure(kind="program_error", message=str(error))) from error


def build_program(order: Order, signature: type[Any]) -> dspy.Module:
    """Build the program around the signature.

    Raises:
        JobFailed: the factory refuses; kind ``program_error``.
    """
    factory = resolve(order.module.factory)
    try:
        program = factory(signature, **order.spec.module_kwargs)
    except JobEnd:
        raise
    except Exception as error:
        raise JobFailed(failure_of(error, kind="program_error")) from error
    if not isinstance(program, dspy.Module):
        message = f"{order.module.factory} made a {type(program).__name__}, not a dspy.Module."
        raise JobFailed(Failure(kind="program_error", message=message))
    return program


def build_examples(rows: Sequence[Row], mapping: ColumnMapping) -> list[dspy.Example]:
    """Turn rows into examples named by signature field; unmapped columns never reach the program or the metric."""
    fields = {**mapping.inputs, **mapping.outputs}
    return [
        dspy.Example({field: row.get(column) for field, column in fields.items()}).with_inputs(*mapping.inputs)
        for row in rows
    ]


def check_fields(signature: type[Any], mapping: ColumnMapping) -> None:
    """Check that the mapping feeds every input of the signature.

    Raises:
        JobFailed: an input has no column, or a mapped field does not exist; kind ``signature_error``.
    """
    missing = sorted(set(signature.input_fields) - set(mapping.inputs))
    unknown = sorted(set(mapping.inputs) - set(signature.input_fields))
    unknown += sorted(set(mapping.outputs) - set(signature.output_fields))
    if missing or unknown:
        name = signature.__name__
        parts = [f"{name} needs a column for {', '.join(missing)}"] if missing else []
        parts += [f"{name} has no field {', '.join(unknown)}"] if unknown else []
        raise JobFailed(Failure(kind="signature_error", message=f"column_mapping: {'; '.join(parts)}."))


def build_models(order: Order, stage: Stage, tallies: Mapping[str, RoleTally]) -> Mapping[str, BrokerLM]:
    """Build the model of every role, for one stage.

    Raises:
        JobFailed: its options contradict each other; kind ``model_error``.
    """
    try:
        return {role: build_lm(stage, role, data, tallies[role]) for role, data in order.roles.items()}
    except (LMError, ValueError, TypeError) as error:
        raise JobFailed(failure_of(error, kind="model_error")) from error


def prompts_of(program: dspy.Module) -> dict[str, dict[str, Any]]:
    """Return the instructions and the number of demos of each predictor."""
    return {
        name: {"instructions": predictor.signature.instructions, "demos": len(predictor.demos)}
        for name, predictor in program.named_predictors()
    }
