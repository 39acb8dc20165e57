"""Rebuilds a program from data alone, so that nothing has to be unpickled.

This works for ``dspy.Predict`` and ``dspy.ChainOfThought`` over signatures of plain types, which need no
submitted code.
"""

import ast
import importlib
from collections.abc import Mapping
from typing import Any, Final, Literal, Optional, Union

from dspy_service.client.errors import ProgramLoadError
from dspy_service.domain.program_state import ProgramStateError, parse, recorded_fields
from dspy_service.domain.strict_loading import load_state_strictly

_FACTORIES: Final = {"dspy.Predict": "Predict", "dspy.ChainOfThought": "ChainOfThought"}
_MODULE_KWARGS: Final = frozenset({"temperature", "top_p", "max_tokens", "n"})
"""Call options that are numbers; any other could send a key somewhere else."""

_NAMES: Final[Mapping[str, Any]] = {
    **{kind.__name__: kind for kind in (str, int, float, bool, list, dict)},
    "Any": Any,
    "NoneType": None,
}
_GENERICS: Final[Mapping[str, Any]] = {"list": list, "dict": dict, "Optional": Optional, "Union": Union}


def rebuild_program(metadata: bytes, state: bytes) -> Any:  # noqa: ANN401  # a dspy.Module, a type the SDK does not know
    """Return the program that ``metadata.json`` and ``program.json`` tell of.

    Raises:
        ProgramLoadError: it cannot be told by data alone, DSPy is not installed here, or the files are not in order.
    """
    try:
        dspy = importlib.import_module("dspy")
    except ModuleNotFoundError as error:
        message = "Loading a program needs dspy; install the version that the artifact's metadata names."
        raise ProgramLoadError(message) from error
    try:
        facts = parse(metadata, "metadata.json")
        program = _build(dspy, facts)
        load_state_strictly(program, state, recorded=recorded_fields(facts))
    except ProgramStateError as error:
        raise ProgramLoadError(str(error)) from error
    return program


def _build(dspy: Any, facts: Any) -> Any:  # noqa: ANN401  # a module, and JSON
    try:
        factory = getattr(dspy, _FACTORIES[facts["module_factory"]])
        options = {name: _number(name, value) for name, value in facts["module_kwargs"].items()}
        told = facts["signature"]
        fields = {each["name"]: (plain_type(each["type"]), _field(dspy, each)) for each in told["fields"]}
        return factory(dspy.Signature(fields, told["instructions"]), **options)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"This program cannot be rebuilt from data alone ({type(error).__name__}: {error})."
        raise ProgramLoadError(message) from error


def _field(dspy: Any, told: Mapping[str, str]) -> Any:  # noqa: ANN401  # a module, and its field
    make = {"input": dspy.InputField, "output": dspy.OutputField}[told["side"]]
    return make(desc=told["desc"])


def _number(name: str, value: object) -> float:
    if name not in _MODULE_KWARGS or isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{name} is not one of {', '.join(sorted(_MODULE_KWARGS))} with a number"
        raise ValueError(message)
    return value


def plain_type(text: str) -> Any:  # noqa: ANN401  # a type
    """Return the type that ``text`` spells, without evaluating it.

    Raises:
        ValueError: it is made of more than str, int, float, bool, list, dict, Literal, Optional, Union, Any and None.
    """
    try:
        return _type(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, IndexError, RecursionError, MemoryError) as error:
        message = f"{text[:80]!r} is no type"
        raise ValueError(message) from error


def _type(node: ast.expr) -> Any:  # noqa: ANN401  # a type
    match node:
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_type(left), _type(right)]  # noqa: UP007 - the operator refuses None | None
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
            return Literal[tuple(ast.literal_eval(each) for each in _items(inside))]
        case ast.Subscript(value=ast.Name(id=name), slice=inside) if name in _GENERICS:
            parts = tuple(_type(each) for each in _items(inside))
            return _GENERICS[name][parts if len(parts) > 1 else parts[0]]
    message = f"{ast.unparse(node)[:80]!r} is no plain type"
    raise ValueError(message)


def _items(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]
