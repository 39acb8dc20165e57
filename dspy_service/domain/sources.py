"""Reads submitted source without executing any of it: which signature and which metric it declares."""

import ast
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.field_problem import FieldProblem
from dspy_service.domain.secrets import looks_like_a_key
from dspy_service.domain.signature_source import find_signatures
from dspy_service.domain.spec import MAX_SOURCE_BYTES

SIGNATURE_FIELD = "signature_code"
METRIC_FIELD = "metric_code"

_GEPA_ARITY = 5
_GEPA_ARGUMENTS = "(gold, pred, trace, pred_name, pred_trace)"
_MIN_ARITY = 2  # gold and pred

_WARNINGS_ARE_OFF = threading.Lock()  # the filters belong to the whole process: two threads must not swap them at once

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class SignatureFacts:
    """What the signature source declares; fields in order of declaration, inherited ones first."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class MetricFacts:
    """What the metric source declares."""

    name: str
    required: int
    """Positional arguments without a default."""
    accepted: int | None
    """Positional arguments at most; None when there is no limit (``*args``)."""


def read_sources(signature_code: str, metric_code: str, *, arity: int) -> tuple[SignatureFacts, MetricFacts]:
    """Read both sources.

    Args:
        signature_code: the submitted text of the signature class.
        metric_code: the submitted text of the metric function.
        arity: positional arguments with which the optimizer may call the metric; 5 for GEPA.

    Raises:
        InvalidRequestError: too long, not Python, or with a key in it; names both fields when both are.
        UnsupportedRequestError: not exactly one signature with inputs and outputs, or one callable metric.
    """
    trees: list[ast.Module] = []
    problems: list[FieldProblem] = []
    for source, field in ((signature_code, SIGNATURE_FIELD), (metric_code, METRIC_FIELD)):
        try:
            trees.append(_parse(source, field))
        except InvalidRequestError as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidRequestError(problems)
    signature, metric = trees
    return _signature_facts(signature), _metric_facts(metric, arity)


def _signature_facts(tree: ast.Module) -> SignatureFacts:
    """Find the one ``dspy.Signature`` subclass; of a chain of subclasses, the last."""
    found = find_signatures(tree)
    if not found:
        raise UnsupportedRequestError.of(
            SIGNATURE_FIELD, "declares no subclass of dspy.Signature; send the class definition"
        )
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise UnsupportedRequestError.of(SIGNATURE_FIELD, f"declares several signatures ({names}); send exactly one")
    for side, fields in (("InputField", found[0].inputs), ("OutputField", found[0].outputs)):
        if not fields:
            raise UnsupportedRequestError.of(
                SIGNATURE_FIELD, f"{found[0].name} declares no dspy.{side}; it needs at least one"
            )
    for name in found[0].taken_names():
        message = f"{found[0].name} has a field {name!r}, a name that DSPy needs for itself; rename it"
        raise UnsupportedRequestError.of(SIGNATURE_FIELD, message)
    return SignatureFacts(name=found[0].name, inputs=found[0].inputs, outputs=found[0].outputs)


def _metric_facts(tree: ast.Module, arity: int) -> MetricFacts:
    """Find the one metric function and check that it can be called."""
    function = _the_metric(tree)
    if isinstance(function, ast.AsyncFunctionDef):
        raise UnsupportedRequestError.of(
            METRIC_FIELD, f"{function.name} is async; DSPy calls the metric as a plain function"
        )
    if _yields(function):
        raise UnsupportedRequestError.of(METRIC_FIELD, f"{function.name} is a generator; return the score instead")
    facts = _call_facts(function)
    _check_arity(facts, arity)
    return facts


def _parse(source: str, field: str) -> ast.Module:
    """Parse under every failure that hostile text was seen to cause; `compile` and `exec` never run here."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise InvalidRequestError.of(field, "holds a lone surrogate, which is no text; send valid Unicode") from None
    if size > MAX_SOURCE_BYTES:
        message = f"is {size} bytes long; at most {MAX_SOURCE_BYTES} are accepted"
        raise InvalidRequestError.of(field, message)
    try:
        tree = _parse_quietly(source)
    except SyntaxError as error:
        where = f"line {error.lineno or 1}, column {max(error.offset or 1, 1)}"
        raise InvalidRequestError.of(field, f"is not Python: {where}: {error.msg}") from None
    except (MemoryError, RecursionError, ValueError) as error:  # deep nesting; NUL bytes on some versions
        reason = str(error) or "it is nested too deeply"
        raise InvalidRequestError.of(field, f"cannot be parsed: {reason}") from None
    _refuse_keys(tree, source, field)
    return tree


def _parse_quietly(source: str) -> ast.Module:
    """Parse without Python's warnings: 64 KiB of odd literals would print thousands of lines on our stderr."""
    with _WARNINGS_ARE_OFF, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _refuse_keys(tree: ast.Module, source: str, field: str) -> None:
    """Look at string literals only: prose and comments may mention what a key looks like."""
    if not looks_like_a_key(source):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and looks_like_a_key(node.value):
            message = f"line {node.lineno} holds what looks like an API key; keys stay with the operator, remove it"
            raise InvalidRequestError.of(field, message)


def _the_metric(tree: ast.Module) -> _Function:
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    if "metric" in functions:
        return functions["metric"]
    public = [function for name, function in functions.items() if not name.startswith("_")]
    if not public:
        raise UnsupportedRequestError.of(METRIC_FIELD, "declares no function; send def metric(gold, pred, trace=None)")
    if len(public) > 1:
        names = ", ".join(function.name for function in public)
        raise UnsupportedRequestError.of(METRIC_FIELD, f"declares several functions ({names}); name one of them metric")
    return public[0]


def _yields(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(function))


def _own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Walk a function's body without the functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _call_facts(function: ast.FunctionDef) -> MetricFacts:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            message = f"{function.name} requires the keyword-only argument {argument.arg!r}; give it a default"
            raise UnsupportedRequestError.of(METRIC_FIELD, message)
    return MetricFacts(
        name=function.name,
        required=positional - len(arguments.defaults),
        accepted=None if arguments.vararg else positional,
    )


def _check_arity(facts: MetricFacts, arity: int) -> None:
    if facts.accepted is not None and facts.accepted < _MIN_ARITY:
        message = f"{facts.name} takes {facts.accepted} positional arguments; it is called with (gold, pred, trace)"
        raise UnsupportedRequestError.of(METRIC_FIELD, message)
    if arity == _GEPA_ARITY and facts.accepted is not None and facts.accepted < _GEPA_ARITY:
        message = f"{facts.name} takes {facts.accepted} positional arguments; GEPA calls it with {_GEPA_ARGUMENTS}"
        raise UnsupportedRequestError.of(METRIC_FIELD, message)
    allowed = max(arity, _MIN_ARITY)
    if facts.required > allowed:
        message = f"{facts.name} requires {facts.required} arguments and gets at most {allowed}; give the rest defaults"
        raise UnsupportedRequestError.of(METRIC_FIELD, message)
