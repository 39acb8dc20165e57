"""Reads what a compiled program is from its two data files, ``program.json`` and ``metadata.json``; nothing is run.

Whoever made the files is not trusted: both are bounded and checked key by key before anything of them is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from dspy_service.domain.artifact_paths import METADATA
from dspy_service.domain.program_state import (
    MAX_FIELDS,
    WHOLE,
    Fields,
    ProgramStateError,
    check_program_state,
    parse,
    recorded_fields,
)
from dspy_service.domain.serving.interface import ProgramField, ProgramInterface
from dspy_service.domain.serving.own_schemas import own_schema
from dspy_service.domain.serving.plain_types import plain_type
from dspy_service.domain.serving.program import AdapterName
from dspy_service.domain.signature_source import SignatureClass

REASONING = "reasoning"
"""The output that a chain of thought puts before those of its signature."""

PLAIN_MODULES: Mapping[str, str] = {"predict": WHOLE, "cot": "predict"}
"""Module of the catalogue that can be rebuilt from data, to DSPy's name of its one predictor."""

MAX_INTERFACE_BYTES = 256 * 1024
"""Of the signature as JSON: it stands in the record of every version, and a client reads it with each list."""

_ADAPTERS: Mapping[str | None, AdapterName] = {"ChatAdapter": "chat", "JSONAdapter": "json", "XMLAdapter": "xml"}


@dataclass(frozen=True)
class ProgramDescription:
    """What the files say."""

    interface: ProgramInterface
    predictors: Fields
    module_name: str
    """As it was asked for, not as the catalogue names it."""
    module_kwargs: dict[str, JsonValue]
    adapter: AdapterName
    """That it was optimized with."""
    optimizer_name: str | None
    baseline_score: float | None
    optimized_score: float | None

    def why_not_plain(self, module: str) -> str | None:
        """Return why only its own code can be the program, as half a sentence; None when data is enough.

        Args:
            module: The catalogue's name of its module.
        """
        if module not in PLAIN_MODULES:
            return f"its module {module!r} is the operator's own"
        if not self.is_one_predictor(module):
            return "metadata.json names other fields in `predictors` than in `signature`"
        for field in self.interface.fields:
            if plain_type(field.type_name) is None:
                return f"the type of its field {field.name!r}, {field.type_name[:100]}, is more than plain data"
        for field in self.interface.fields:
            if field.has_default_of_code:
                return f"the default of its field {field.name!r} is made by submitted code"
        return None

    def is_one_predictor(self, module: str) -> bool:
        """Whether the program is nothing but one predictor, with the very fields of its signature.

        Args:
            module: The catalogue's name of its module.
        """
        names = [field.name for field in self.interface.fields]
        return module in PLAIN_MODULES and self.predictors == {PLAIN_MODULES[module]: names}


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())


class _FieldData(_Part):
    name: str
    side: Literal["input", "output"]
    type: str
    desc: JsonValue = None
    default: JsonValue = None
    default_is_code: bool = False
    constraints: str | None = None
    json_schema: JsonValue = None


class _SignatureData(_Part):
    name: Annotated[str, Field(max_length=256)]
    instructions: str = ""
    fields: Annotated[list[_FieldData], Field(min_length=1, max_length=MAX_FIELDS)]


class _Metadata(_Part):
    signature: _SignatureData
    module_name: Annotated[str, Field(max_length=256)]
    module_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    adapter: str | None = None
    optimizer_name: Annotated[str | None, Field(max_length=256)] = None
    baseline_test_metric: float | None = None
    optimized_test_metric: float | None = None


def describe_program(program: bytes, metadata: bytes) -> ProgramDescription:
    """Read both files.

    Raises:
        ProgramStateError: one of them may not be used, or they do not belong together; the sentence says why.
    """
    parsed = parse(metadata, METADATA)
    recorded = recorded_fields(parsed)
    state = check_program_state(program, recorded)
    try:
        told = _Metadata.model_validate(parsed)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        raise ProgramStateError(f"metadata.json: {where[:200]}: {found['msg']}.") from error
    interface = _interface(told.signature, recorded, state)
    if _size(interface) > MAX_INTERFACE_BYTES:
        interface = _without_own_schemas(interface)
    if _size(interface) > MAX_INTERFACE_BYTES:
        raise ProgramStateError(f"metadata.json: the signature is larger than {MAX_INTERFACE_BYTES} bytes.")
    return ProgramDescription(
        interface=interface,
        predictors={name: list(names) for name, names in recorded.items()},
        module_name=told.module_name,
        module_kwargs=told.module_kwargs,
        adapter=_ADAPTERS.get(told.adapter, "chat"),
        optimizer_name=told.optimizer_name,
        baseline_score=told.baseline_test_metric,
        optimized_score=told.optimized_test_metric,
    )


def _interface(signature: _SignatureData, recorded: Fields, state: Mapping[str, Any]) -> ProgramInterface:
    """Put types of the signature, and instructions and descriptions of the optimized predictor, together.

    Of several predictors, none speaks for the whole program; then its signature does.
    """
    fields = [*signature.fields]
    predictor, names = next(iter(recorded.items()))
    is_reasoned = recorded.keys() == {PLAIN_MODULES["cot"]} and REASONING in names
    if is_reasoned and all(field.name != REASONING for field in fields):
        inputs = sum(field.side == "input" for field in fields)
        fields.insert(inputs, _FieldData(name=REASONING, side="output", type="str"))
    _require_sides(signature.name, fields)
    instructions = signature.instructions
    texts = {field.name: field.desc for field in fields if isinstance(field.desc, str)}
    if len(recorded) == 1:
        optimized = (state if predictor == WHOLE else state[predictor])["signature"]
        instructions = optimized["instructions"]
        texts |= dict(zip(names, (text["description"] for text in optimized["fields"]), strict=True))
    return ProgramInterface(
        signature_name=signature.name,
        instructions=instructions,
        fields=[_field(field, texts.get(field.name)) for field in fields],
    )


def _require_sides(name: str, fields: Sequence[_FieldData]) -> None:
    """Refuse names that mean something else to DSPy: an input named ``config`` would set options of the model."""
    sides = [tuple(field.name for field in fields if field.side == side) for side in ("input", "output")]
    if not all(sides) or [*sides[0], *sides[1]] != [field.name for field in fields]:
        raise ProgramStateError("metadata.json must list inputs, then outputs, in `signature`; at least one of each.")
    for taken in SignatureClass(name=name, inputs=sides[0], outputs=sides[1]).taken_names():
        raise ProgramStateError(f"The field {taken[:60]!r} has a name that DSPy needs for itself.")


def _field(field: _FieldData, description: str | None) -> ProgramField:
    plain = plain_type(field.type)
    return ProgramField(
        name=field.name,
        side=field.side,
        type_name=field.type,
        json_schema=own_schema(field.json_schema) if plain is None else plain.json_schema,
        description=None if description == f"${{{field.name}}}" else description,
        is_required="default" not in field.model_fields_set and not field.default_is_code,
        default=None if field.default_is_code else field.default,
        has_default_of_code=field.default_is_code,
        constraints=field.constraints,
    )


def _size(interface: ProgramInterface) -> int:
    return len(interface.model_dump_json().encode())


def _without_own_schemas(interface: ProgramInterface) -> ProgramInterface:
    """A program of many large types of its own is served all the same; its document says less."""
    fields = [
        field if plain_type(field.type_name) is not None else field.model_copy(update={"json_schema": {}})
        for field in interface.fields
    ]
    return interface.model_copy(update={"fields": fields})
