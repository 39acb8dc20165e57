"""Packs a compiled program into files that need nothing of ours to be read.

``program.json`` is DSPy's own state file, ``program.pkl`` with ``metadata.json`` what ``dspy.load`` reads.
"""

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import cloudpickle
import dspy
from dspy.utils.saving import get_dependency_versions
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaWarningKind

from dspy_service.domain.frames import CHUNK_BYTES
from dspy_service.domain.job import Failure
from dspy_service.domain.serving.own_schemas import own_schema
from dspy_service.domain.serving.plain_types import plain_type
from workers.runner.channel import Channel
from workers.runner.failures import JobFailed, describe
from workers.runner.reporting import plain
from workers.runner.sources import SIGNATURE_MODULE

ALWAYS_KEPT = frozenset({"_compiled", "history", "callbacks"})

_Side = Literal["input", "output"]
_PLAIN_MODULES = frozenset({"builtins", "typing", dspy.History.__module__})
"""Where the types are at home that are known by a bare name; a submitter may call a class of its own ``History``."""


def strip(program: dspy.Module, *, like: dspy.Module) -> None:
    """Remove what is not the program: models, and attributes that an optimizer hung on it.

    Optimizers attach every candidate they tried (``candidate_programs``, ``trial_logs``, ``detailed_results``, …); a
    freshly built program ``like`` it tells which attributes are its own.
    """
    own = set(vars(like)) | ALWAYS_KEPT
    for name in [name for name in vars(program) if name not in own]:
        delattr(program, name)
    program.set_lm(None)
    for predictor in program.predictors():
        predictor.traces = []
        predictor.train = []


def state_json(program: dspy.Module) -> bytes:
    """Return the file that ``program.load("program.json")`` reads.

    Raises:
        JobFailed: the program's demos or options hold what JSON cannot say; kind ``program_error``.
    """
    state = {**program.dump_state(), "metadata": {"dependency_versions": get_dependency_versions()}}
    try:
        return json.dumps(state, indent=2, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        message = f"The compiled program cannot be saved as JSON: {describe(error)}"
        raise JobFailed(Failure(kind="program_error", message=message)) from error


def pickle_program(program: dspy.Module) -> bytes:
    """Return the program with submitted classes by value, so that it loads where only DSPy is installed.

    Raises:
        JobFailed: something in it cannot be pickled; kind ``program_error``.
    """
    module = sys.modules.get(SIGNATURE_MODULE)
    if module is not None:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(program))
    except Exception as error:
        message = f"The compiled program cannot be pickled: {describe(error)}"
        raise JobFailed(Failure(kind="program_error", message=message)) from error
    finally:
        if module is not None:
            cloudpickle.unregister_pickle_by_value(module)


def signature_data(signature: type[Any]) -> dict[str, Any]:
    """Return name, instructions and fields of a signature as data."""
    fields = []
    sides: tuple[tuple[_Side, Any], ...] = (("input", signature.input_fields), ("output", signature.output_fields))
    for side, found in sides:
        for name, field in found.items():
            extra = field.json_schema_extra or {}
            told = {"name": name, "side": side, "type": _type_name(field.annotation), "desc": extra.get("desc")}
            constraints = {"constraints": extra["constraints"]} if extra.get("constraints") else {}
            fields.append({**told, **constraints, **_default_of(field), **_schema_of(field.annotation, side)})
    return {"name": signature.__name__, "instructions": signature.instructions, "fields": plain(fields)}


def metadata(facts: Mapping[str, Any]) -> bytes:
    """Return ``metadata.json``: the versions that ``dspy.load`` compares, and ``facts`` about the job."""
    data = {"dependency_versions": get_dependency_versions(), **plain(facts)}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False).encode()


def send_files(channel: Channel, files: Sequence[tuple[str, bytes]], *, checkpoint: int | None = None) -> None:
    """Send each file in frames of at most 1 MiB; ``checkpoint`` is the number of the one that they make, if any."""
    for name, data in files:
        chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)] or [b""]
        for number, chunk in enumerate(chunks, 1):
            encoded = base64.b64encode(chunk).decode()
            last = number == len(chunks)
            channel.say({"t": "blob", "name": name, "data": encoded, "last": last, "checkpoint": checkpoint})


def _default_of(field: FieldInfo) -> dict[str, Any]:
    """Return the default of a field, or that only its code can make it; empty where the field is required."""
    if field.is_required():
        return {}
    try:
        is_json = field.default_factory is None and json.loads(json.dumps(field.default)) == field.default
    except (TypeError, ValueError):
        is_json = False
    return {"default": field.default} if is_json else {"default_is_code": True}


class _Schema(GenerateJsonSchema):
    """Leaves out a default that JSON cannot say, or a member without a schema, and warns nobody in the user's log."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  # pydantic reads it here


def _schema_of(annotation: Any, side: _Side) -> dict[str, Any]:  # noqa: ANN401  # any annotation
    """Return the JSON Schema of a submitter's own type; ``{}`` when it has none, or one that is too large."""
    if plain_type(_type_name(annotation)) is not None:
        return {}
    mode: JsonSchemaMode = "validation" if side == "input" else "serialization"
    try:
        return {"json_schema": own_schema(TypeAdapter(annotation).json_schema(mode=mode, schema_generator=_Schema))}
    except Exception:  # noqa: BLE001  # submitted code may have its say in it
        return {"json_schema": {}}


def _type_name(annotation: Any) -> str:  # noqa: ANN401  # any annotation
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        is_its_own = annotation.__module__ not in _PLAIN_MODULES and plain_type(annotation.__name__) is not None
        return f"{annotation.__module__}.{annotation.__name__}" if is_its_own else annotation.__name__
    return str(annotation).replace("typing.", "").replace(f"{SIGNATURE_MODULE}.", "")
