"""Checks ``program.json`` without DSPy: the state is data that may only fill in what a program already has.

DSPy's own loader sets every unknown key as an attribute: ``config`` with an ``api_base`` in it would send the
operator's key to whoever wrote the file, ``forward`` replaces a method. So nothing unknown is stored, let alone loaded.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import pydantic_core

PREDICTOR_KEYS = frozenset({"traces", "train", "demos", "signature", "lm"})
MAX_STATE_BYTES = 16 << 20
MAX_MARKS = 500_000
"""Most brackets and commas, text included: an empty list in a list costs 3 bytes in the file and 64 in memory."""
MAX_DEPTH = 32
MAX_PREDICTORS = 256
MAX_FIELDS = 256

WHOLE = "self"
"""DSPy's name of the predictor when the program is nothing but one; its state then is the file, without a name."""

_TOP = "metadata"
"""DSPy's own entry beside the predictors: which versions wrote the file."""

Fields = Mapping[str, Sequence[str]]
"""Names of the predictors, and of the fields of each one's signature, in order."""


class ProgramStateError(ValueError):
    """The state is not one that may be loaded; the sentence says why."""


def recorded_fields(metadata: object) -> Fields:
    """Return what ``metadata.json`` says the program is made of.

    Raises:
        ProgramStateError: it does not say it.
    """
    found = metadata.get("predictors") if isinstance(metadata, Mapping) else None
    if not isinstance(found, Mapping) or not 1 <= len(found) <= MAX_PREDICTORS:
        raise ProgramStateError(f"metadata.json must name 1 to {MAX_PREDICTORS} predictors in `predictors`.")
    for predictor, fields in found.items():
        if not _are_names(fields) or not 1 <= len(fields) <= MAX_FIELDS or len(set(fields)) < len(fields):
            raise ProgramStateError(f"metadata.json must list the fields of predictor {_short(predictor)}.")
    return found


def check_program_state(data: bytes, fields: Fields) -> Mapping[str, Any]:
    """Parse a state and return it; every predictor of ``fields`` is in it, and nothing else.

    Raises:
        ProgramStateError: it is too large, no JSON, or holds anything that a program's state does not need.
    """
    state = parse(data, "program.json")
    if not isinstance(state, dict):
        raise ProgramStateError("program.json must be an object of predictors.")
    _check_versions(state.get(_TOP))
    predictors: dict[str, Any] = {name: value for name, value in state.items() if name != _TOP}
    if fields.keys() == {WHOLE}:
        predictors = {WHOLE: predictors}
    for name in sorted(predictors.keys() ^ fields.keys()):
        where = "program.json" if name in predictors else "metadata.json"
        raise ProgramStateError(f"Only {where} has a predictor {_short(name)}; both must name the same.")
    for name, names in fields.items():
        _check_predictor(_short(name), predictors[name], names)
    return state


def parse(data: bytes, name: str) -> object:
    """Parse the file ``name``, whose size in memory is bounded before any of it is built.

    Raises:
        ProgramStateError: it is too large, too deep, or no JSON.
    """
    if len(data) > MAX_STATE_BYTES:
        raise ProgramStateError(f"{name} has {len(data)} bytes; at most {MAX_STATE_BYTES} are stored.")
    if sum(data.count(mark) for mark in (b"[", b"{", b",")) > MAX_MARKS:
        raise ProgramStateError(f"{name} has more than {MAX_MARKS} values; use fewer demonstrations.")
    try:
        value: object = pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise ProgramStateError(f"{name} is not JSON: {error}.") from error
    if deeper_than(value, MAX_DEPTH):
        raise ProgramStateError(f"{name} is nested deeper than {MAX_DEPTH} levels.")
    return value


def _check_versions(metadata: object) -> None:
    versions = metadata.get("dependency_versions") if isinstance(metadata, dict) and len(metadata) == 1 else None
    if not isinstance(versions, dict) or not all(isinstance(version, str) for version in versions.values()):
        raise ProgramStateError(
            "program.json must say in `metadata` which `dependency_versions` wrote it, and no more."
        )


def _check_predictor(name: str, state: object, fields: Sequence[str]) -> None:
    if not isinstance(state, dict) or state.keys() != PREDICTOR_KEYS:
        keys = ", ".join(sorted(PREDICTOR_KEYS))
        odd = sorted(state.keys() ^ PREDICTOR_KEYS) if isinstance(state, dict) else []
        hint = f"; {_short(odd[0])} is not right" if odd else ""
        raise ProgramStateError(f"Predictor {name} must hold exactly {keys}{hint}.")
    if state["lm"] is not None:
        raise ProgramStateError(f"Predictor {name} carries a language model; models belong to the operator.")
    for key in ("traces", "train", "demos"):
        if not _are_objects(state[key]):
            raise ProgramStateError(f"Predictor {name} must hold a list of objects in {key}.")
    _check_signature(name, state["signature"], fields)


def _check_signature(name: str, signature: object, fields: Sequence[str]) -> None:
    if not isinstance(signature, dict) or signature.keys() != {"instructions", "fields"}:
        raise ProgramStateError(f"The signature of predictor {name} must hold exactly fields, instructions.")
    texts = signature["fields"]
    if not isinstance(signature["instructions"], str) or not isinstance(texts, list) or len(texts) != len(fields):
        raise ProgramStateError(
            f"The signature of predictor {name} must have its {len(fields)} fields, and instructions."
        )
    for field, text in zip(fields, texts, strict=True):
        if not isinstance(text, dict) or text.keys() != {"prefix", "description"} or not _are_texts(text.values()):
            raise ProgramStateError(f"Field {_short(field)} of predictor {name} must have a prefix and a description.")


def _are_names(value: object) -> TypeGuard[Sequence[str]]:
    return isinstance(value, Sequence) and all(isinstance(name, str) and name.isidentifier() for name in value)


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _are_texts(values: object) -> bool:
    return all(isinstance(value, str) for value in values)  # type: ignore[attr-defined]  # of a mapping


def deeper_than(value: object, levels: int) -> bool:
    """Whether JSON is nested deeper; walks without recursion, so that depth costs nothing but a list."""
    row = [value]
    for _ in range(levels):
        below: list[object] = []
        for each in row:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        row = below
        if not row:
            return False
    return True


def _short(name: object) -> str:
    return repr(str(name)[:60])
