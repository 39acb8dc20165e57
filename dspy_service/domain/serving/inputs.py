"""Checks what a caller sends into a program against the program's signature; no submitted code is run."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from dspy_service.domain.catalogue.kwargs import nearest
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.field_problem import FieldProblem
from dspy_service.domain.secrets import looks_like_a_key
from dspy_service.domain.serving.interface import ProgramField, ProgramInterface
from dspy_service.domain.serving.plain_types import plain_type
from dspy_service.domain.serving.schema_check import find_misfit

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_UNIONS = ("Optional", "Union", "|")
_MAX_SHOWN = 200


def check_inputs(
    interface: ProgramInterface, values: Mapping[str, JsonValue], *, path: str = ""
) -> dict[str, JsonValue]:
    """Return the inputs of a run, in the signature's order: as they were sent, and the defaults of the others.

    Of a field whose type is the submitter's own only what its JSON Schema says for certain is checked: the program
    tells the rest. A history that is left out is an empty one. A default that the program's code makes is left to it.

    Args:
        interface: What the program takes.
        values: Input field to value.
        path: Where they stand in the request, for the sentences; empty: at the top.

    Raises:
        InvalidRequestError: names every field that is missing, unknown or of the wrong type.
    """
    problems = [*_unknown(interface, values), *_wrong(interface, values)]
    if problems:
        prefix = f"{path}." if path else ""
        raise InvalidRequestError([each.model_copy(update={"field": f"{prefix}{each.field}"}) for each in problems])
    optional = [field for field in interface.inputs if not _must_be_sent(field) and not field.has_default_of_code]
    known = {field.name: _default(field) for field in optional}
    known.update(values)
    return {field.name: known[field.name] for field in interface.inputs if field.name in known}


def wrong_outputs(interface: ProgramInterface, values: Mapping[str, JsonValue], *, path: str) -> list[FieldProblem]:
    """Return what is certainly wrong with values that somebody expects of outputs; names are not checked."""
    problems = [
        each for field in interface.outputs if field.name in values for each in _wrong_value(field, values[field.name])
    ]
    return [each.model_copy(update={"field": f"{path}.{each.field}"}) for each in problems]


def _unknown(interface: ProgramInterface, values: Mapping[str, JsonValue]) -> Iterator[FieldProblem]:
    known = [field.name for field in interface.inputs]
    for name in values:
        if name not in known:
            hint = nearest(name, known) or f"; they are {', '.join(known)}"
            yield FieldProblem(field=_shown(name), message=f"is not an input of this program{hint}")


def _wrong(interface: ProgramInterface, values: Mapping[str, JsonValue]) -> Iterator[FieldProblem]:
    for field in interface.inputs:
        if field.name not in values:
            if _must_be_sent(field):
                yield FieldProblem(field=field.name, message=f"is required ({field.type_name[:_MAX_SHOWN]})")
        elif field.is_history:
            yield from _wrong_turns(field.name, values[field.name], interface)
        else:
            yield from _wrong_value(field, values[field.name])


def _must_be_sent(field: ProgramField) -> bool:
    return field.is_required and not field.is_history


def _default(field: ProgramField) -> JsonValue:
    return {"messages": []} if field.is_history and field.default is None else field.default


def _wrong_value(field: ProgramField, value: JsonValue) -> Iterator[FieldProblem]:
    reader = _reader(field.type_name)
    if reader is None:
        misfit = find_misfit(field.json_schema, value, path=field.name)
        if misfit is not None:
            yield FieldProblem(field=misfit.path[:_MAX_SHOWN], message=misfit.message)
        return
    try:
        reader.validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        if any(word in field.type_name for word in _UNIONS):  # pydantic tells one problem for each member
            yield FieldProblem(field=field.name, message=f"must be {field.type_name[:_MAX_SHOWN]}")
            return
        where = ".".join([field.name, *(str(part)[:_MAX_SHOWN] for part in found["loc"] if part != "[key]")])
        yield FieldProblem(field=where, message=found["msg"].replace("Input should be", "must be")[:_MAX_SHOWN])


def _wrong_turns(name: str, value: JsonValue, interface: ProgramInterface) -> Iterator[FieldProblem]:
    """A turn is keyed by the program's fields: DSPy takes ``role`` and ``content`` too, and then loses the text."""
    turns = value.get("messages") if isinstance(value, dict) and set(value) == {"messages"} else None
    if not isinstance(turns, list):
        yield FieldProblem(field=name, message='must be {"messages": [{<field>: <value>}, …]}')
        return
    known = [field.name for field in interface.fields if field.name != name]
    for index, turn in enumerate(turns):
        problem = _wrong_turn(turn, known)
        if problem is not None:
            yield FieldProblem(field=f"{name}.messages.{index}", message=problem)
            return


def _wrong_turn(turn: JsonValue, known: Sequence[str]) -> str | None:
    if not isinstance(turn, dict) or not turn:
        return "must be an object of field to value"
    for key in turn:
        if key not in known:
            return f"has the key {_shown(key)!r}, which is no field of this program; they are {', '.join(known)}"
    return None


def _shown(name: str) -> str:
    return "(a key)" if looks_like_a_key(name) else name[:_MAX_SHOWN]


@lru_cache(maxsize=256)
def _reader(type_name: str) -> TypeAdapter[Any] | None:
    plain = plain_type(type_name)
    return None if plain is None else TypeAdapter(plain.annotation, config=_STRICT)
