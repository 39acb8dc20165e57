"""Values between JSON and a program that may have types of its own."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import dspy
import pydantic_core
from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from workers.runner.text import one_line

_MAX_SHOWN: Final = 300


class InputRefusedError(Exception):
    """A value does not fit the type of its field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class InputTypes:
    """The types of a program's inputs, as its own signatures give them.

    Args:
        program: Whose own ``signature`` is asked first, then those of its predictors.
    """

    def __init__(self, program: dspy.Module) -> None:
        self._readers: dict[str, TypeAdapter[Any]] = {}
        for signature in _signatures(program):
            for name, info in signature.input_fields.items():
                if name not in self._readers and (reader := _reader(info.annotation)) is not None:
                    self._readers[name] = reader
        self._made = _made_by_code(program)

    def read(self, values: Mapping[str, JsonValue]) -> dict[str, Any]:
        """Return the inputs as the program takes them; one that no signature has a type for stays as it is.

        DSPy knows plain defaults only: those that code makes are made here.

        Raises:
            InputRefusedError: one of them does not fit its type.
        """
        read = {name: self._value(name, value) for name, value in values.items()}
        made = {
            name: info.get_default(call_default_factory=True, validated_data=read)
            for name, info in self._made.items()
            if name not in read
        }
        return {**made, **read}

    def _value(self, name: str, value: JsonValue) -> Any:  # noqa: ANN401  # any type
        reader = self._readers.get(name)
        if reader is None:
            return value
        try:
            return reader.validate_json(pydantic_core.to_json(value))  # a strict type takes a date from JSON only
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[0]
            where = ".".join([name, *(str(part) for part in found["loc"])])
            raise InputRefusedError(name, one_line(f"{where}: {found['msg']}", max_chars=_MAX_SHOWN)) from error


def _signatures(program: dspy.Module) -> Iterator[Any]:
    own = getattr(program, "signature", None)
    if isinstance(own, type) and issubclass(own, dspy.Signature):
        yield own
    for predictor in program.predictors():
        yield predictor.signature


def _made_by_code(program: dspy.Module) -> dict[str, FieldInfo]:
    """Return the inputs with a default factory; what a module takes is not what its predictors take."""
    if type(program) not in {dspy.Predict, dspy.ChainOfThought}:
        return {}
    (predictor,) = program.predictors()
    return {name: info for name, info in predictor.signature.input_fields.items() if info.default_factory is not None}


def _reader(annotation: Any) -> TypeAdapter[Any] | None:  # noqa: ANN401  # any annotation
    """Return what reads values of a type; None for one that pydantic knows nothing of."""
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, TypeError, NameError):
        return None
