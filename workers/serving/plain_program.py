"""A program that is data: rebuilt from its interface and its state, without any submitted code."""

from collections.abc import Mapping
from typing import Any

import dspy
from dspy.signatures.signature import make_signature
from pydantic.fields import FieldInfo

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.program_state import check_program_state
from dspy_service.domain.serving.interface import ProgramField, ProgramInterface
from dspy_service.domain.serving.plain_types import plain_type
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.program_description import PLAIN_MODULES, REASONING


def rebuild(version: ProgramVersion, state: bytes) -> dspy.Module:
    """Return the program of a version.

    Args:
        version: One with ``plain`` hosting.
        state: Its ``program.json``.

    Raises:
        ConfigurationError: the version is not plain.
        ProgramStateError: the state is not one that may be loaded.
    """
    if version.module_name not in PLAIN_MODULES:
        raise ConfigurationError(f"Program {version.program} version {version.version} is not plain data.")
    is_reasoned = version.module_name == "cot"
    fields = version.interface.fields
    build = dspy.ChainOfThought if is_reasoned else dspy.Predict
    program: dspy.Module = build(_signature(version, is_reasoned=is_reasoned), **version.module_kwargs)
    names = _ordered(fields, is_reasoned=is_reasoned)
    checked = check_program_state(state, {PLAIN_MODULES[version.module_name]: names})
    program.load_state({name: value for name, value in checked.items() if name != "metadata"})
    return program


def _signature(version: ProgramVersion, *, is_reasoned: bool) -> type[dspy.Signature]:
    interface: ProgramInterface = version.interface
    own = [
        field for field in interface.fields if not (is_reasoned and field.side == "output" and field.name == REASONING)
    ]
    signature: type[dspy.Signature] = make_signature(
        {field.name: (_annotation(field), _info(field)) for field in own},
        interface.instructions,
        interface.signature_name,
    )
    return signature


def _ordered(fields: list[ProgramField], *, is_reasoned: bool) -> list[str]:
    """Return the fields as the state counts them: inputs, then outputs, with the reasoning first among them."""
    inputs = [field.name for field in fields if field.side == "input"]
    outputs = [field.name for field in fields if field.side == "output"]
    if is_reasoned:
        outputs = [REASONING, *(name for name in outputs if name != REASONING)]
    return inputs + outputs


def _annotation(field: ProgramField) -> Any:  # noqa: ANN401  # any type of the grammar
    found = plain_type(field.type_name)
    if found is None:
        raise ConfigurationError(f"The type of field {field.name} is not plain data: {field.type_name[:100]}.")
    return dspy.History if found.is_history else found.annotation


def _info(field: ProgramField) -> FieldInfo:
    make = dspy.InputField if field.side == "input" else dspy.OutputField
    options: Mapping[str, Any] = {} if field.is_required else {"default": field.default}
    info: FieldInfo = make(desc=field.description or f"${{{field.name}}}", **options)
    if field.constraints:
        info.json_schema_extra["constraints"] = field.constraints  # type: ignore[index]  # DSPy keeps a dict there
    return info
