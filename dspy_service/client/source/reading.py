"""Find the text of a function or class where it was written: a file, a notebook cell, a lambda's line."""

import ast
import contextlib
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from dspy_service.client.errors import SourceError
from dspy_service.client.source.importing import find


def read_function(function: Callable[..., Any], *, name: str) -> str:
    """Return a function's ``def``; a lambda becomes one, called ``name``.

    Raises:
        SourceError: there is no source, or the function depends on a variable of an enclosing function.
    """
    inner = inspect.unwrap(function)
    if not isinstance(inner, FunctionType):
        message = f"`{name}` is a {type(function).__name__}; submit a plain function that calls it."
        raise SourceError(message, name=name)
    refuse_closure(inner, name=name)
    try:
        text = inspect.getsource(inner)
    except (OSError, TypeError) as error:
        message = (
            f"The source of `{name}` is not available; write it in a file or a notebook, or submit it as a string."
        )
        raise SourceError(message, name=name) from error
    if inner.__name__ == "<lambda>":
        return _lambda_as_def(text, name)
    return _dedent(text)


def refuse_closure(function: FunctionType, *, name: str) -> None:
    """Raise SourceError, naming the variable, when a function depends on one of the function around it."""
    for variable in function.__code__.co_freevars:
        if variable == "__class__":
            continue  # that of ``super()``; the class statement makes it again
        message = (
            f"`{name}` uses `{variable}` of the function around it, which cannot travel; "
            f"define `{variable}` at module level or inside `{name}`."
        )
        raise SourceError(message, name=variable)


def read_class(cls: type[Any]) -> str | None:
    """Return a class's own text, or None when none is known to be the text of exactly this class."""
    if "<locals>" in cls.__qualname__ or find(cls.__module__, cls.__qualname__) is cls:
        for candidate in _candidates(cls):
            if _describes(candidate, cls):
                return candidate
    return None


def _candidates(cls: type[Any]) -> Iterator[str]:
    with contextlib.suppress(OSError, TypeError, SyntaxError):  # written in a notebook or at a prompt
        yield _dedent(inspect.getsource(cls))
    for member in vars(cls).values():
        if isinstance(member, FunctionType) and member.__qualname__ == f"{cls.__qualname__}.{member.__name__}":
            yield from _around_method(cls.__name__, member)


def _around_method(class_name: str, method: FunctionType) -> Iterator[str]:
    """Find the class statement around a method in the notebook cell that the method names."""
    lines = linecache.getlines(method.__code__.co_filename)
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return  # a cell with magics
    line = method.__code__.co_firstlineno
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == class_name and node.lineno <= line <= (node.end_lineno or 0):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield _dedent("".join(lines[first - 1 : node.end_lineno]))


def _describes(text: str, cls: type[Any]) -> bool:
    """Whether a text can be that of ``cls``; a class made by a call (``with_instructions``) has another's text."""
    statement = ast.parse(text).body[0]
    if not isinstance(statement, ast.ClassDef) or statement.name != cls.__name__:
        return False
    fields = getattr(cls, "model_fields", None)
    if not isinstance(fields, dict):
        return True
    written = {
        node.target.id
        for node in statement.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    inherited = {name for parent in cls.__mro__[1:] for name in getattr(parent, "model_fields", {})}
    docstring = ast.get_docstring(statement)
    instructions = getattr(cls, "instructions", None)
    same_text = docstring is None or instructions is None or inspect.cleandoc(instructions) == docstring
    return same_text and written <= set(fields) <= written | inherited


def _dedent(text: str) -> str:
    dedented = textwrap.dedent(text)
    try:
        ast.parse(dedented)
    except SyntaxError:
        # a string inside reaches further left than the code: let the parser find the statement
        block = ast.parse("if True:\n" + text).body[0]
        return ast.unparse(block.body[0]) + "\n" if isinstance(block, ast.If) else dedented
    return dedented


def _lambda_as_def(text: str, name: str) -> str:
    try:
        found = [node for node in ast.walk(ast.parse(textwrap.dedent(text).strip())) if isinstance(node, ast.Lambda)]
    except SyntaxError:
        found = []
    if len(found) != 1:
        message = f"`{name}` is a lambda whose text cannot be told apart; write it as a `def`."
        raise SourceError(message, name=name)
    function = found[0]
    return f"def {name}({ast.unparse(function.args)}):\n    return {ast.unparse(function.body)}\n"
