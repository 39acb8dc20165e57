"""Write values and types as expressions; whatever an expression names is asked of a ``Scope``."""

import dataclasses
import enum
import logging
import math
import re
import types
import typing
from collections.abc import Callable
from typing import Any, Protocol

from dspy_service.client.errors import SourceError
from dspy_service.client.source.importing import import_of


class Scope(Protocol):
    """Where an expression's names come from."""

    def import_module(self, module_name: str) -> str:
        """Make sure that a module is imported; return how to write it."""
        ...

    def refer(self, value: Any) -> str:  # noqa: ANN401  # a function or class of the user's own
        """Make sure that a function or class of the user's own is defined; return its name."""
        ...


def is_type_expression(value: object) -> bool:
    """Whether a value is an alias such as ``list[str]``, ``Literal["a"]`` or ``int | None``."""
    return typing.get_origin(value) is not None


def render_type(annotation: Any, scope: Scope, *, owner: str) -> str:  # noqa: ANN401  # any annotation
    """Write a type as an expression.

    Raises:
        SourceError: for a type that has no such form; ``owner`` names what needs it.
    """
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _render_generic(annotation, origin, scope, owner)
    if isinstance(annotation, type) and annotation.__module__ == "builtins":
        return annotation.__qualname__
    imported = import_of(annotation)
    if imported is not None:
        return f"{scope.import_module(imported[0])}.{imported[1]}"
    if isinstance(annotation, type):
        return scope.refer(annotation)
    message = f"`{owner}` has the type {annotation!r}, which cannot be written as source; submit it as a string."
    raise SourceError(message, name=owner)


def _render_generic(annotation: Any, origin: Any, scope: Scope, owner: str) -> str:  # noqa: ANN401  # any annotation
    arguments = typing.get_args(annotation)
    if origin is typing.Literal:
        inner = ", ".join(render_value(argument, scope, owner=owner) for argument in arguments)
        return f"{scope.import_module('typing')}.Literal[{inner}]"
    if origin is typing.Annotated:
        values = ", ".join(render_value(value, scope, owner=owner) for value in annotation.__metadata__)
        inner = render_type(arguments[0], scope, owner=owner)
        return f"{scope.import_module('typing')}.Annotated[{inner}, {values}]"
    inner = ", ".join(_render_argument(argument, scope, owner) for argument in arguments)
    if origin is typing.Union or origin is types.UnionType:
        return f"{scope.import_module('typing')}.Union[{inner}]"
    return f"{render_type(origin, scope, owner=owner)}[{inner}]"


def _render_argument(argument: Any, scope: Scope, owner: str) -> str:  # noqa: ANN401  # Callable[[...], X] nests a list
    if isinstance(argument, list):
        return "[" + ", ".join(render_type(item, scope, owner=owner) for item in argument) + "]"
    return render_type(argument, scope, owner=owner)


def render_value(value: Any, scope: Scope, *, owner: str) -> str:  # noqa: ANN401  # anything
    """Write a value as an expression.

    Raises:
        SourceError: for an object that has no such form; ``owner`` names what holds it.
    """
    for kinds, render in _RENDERERS:
        if isinstance(value, kinds):
            text = render(value, scope, owner)
            if text is not None:
                return text
    message = (
        f"`{owner}` is a {type(value).__name__}, which has no source; "
        "make it inside the function that uses it, or submit the source as a string."
    )
    raise SourceError(message, name=owner)


def _enum_member(value: Any, scope: Scope, owner: str) -> str | None:  # noqa: ANN401  # an Enum
    name = getattr(value, "name", None)
    kind = render_type(type(value), scope, owner=owner)
    return (
        f"{kind}[{name!r}]" if isinstance(name, str) and name in type(value).__members__ else f"{kind}({value.value!r})"
    )


def _plain(value: Any, _scope: Scope, _owner: str) -> str | None:  # noqa: ANN401  # a scalar
    if type(value) not in {bool, int, float, str, bytes, complex, type(None)}:
        return None  # a subclass carries more than its repr says
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)


def _container(value: Any, scope: Scope, owner: str) -> str | None:  # noqa: ANN401  # a collection
    kind = type(value)
    if kind is dict:
        pairs = (
            f"{render_value(k, scope, owner=owner)}: {render_value(v, scope, owner=owner)}" for k, v in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    items = [render_value(item, scope, owner=owner) for item in value]
    if kind in {set, frozenset}:
        items.sort()  # the same source in every process
    listed = ", ".join(items)
    if kind is list:
        return f"[{listed}]"
    if kind is tuple:
        return f"({listed},)" if items else "()"
    return f"{kind.__name__}([{listed}])" if kind in {set, frozenset} else None


def _pattern(value: "re.Pattern[Any]", scope: Scope, _owner: str) -> str | None:
    return f"{scope.import_module('re')}.compile({value.pattern!r}, {value.flags & ~re.UNICODE.value})"


def _logger(value: logging.Logger, scope: Scope, _owner: str) -> str | None:
    return f"{scope.import_module('logging')}.getLogger({value.name!r})"


def _type(value: Any, scope: Scope, owner: str) -> str | None:  # noqa: ANN401  # a class or alias
    return render_type(value, scope, owner=owner) if isinstance(value, type) or is_type_expression(value) else None


def _function(value: Any, scope: Scope, _owner: str) -> str | None:  # noqa: ANN401  # a function
    imported = import_of(value)
    return f"{scope.import_module(imported[0])}.{imported[1]}" if imported else scope.refer(value)


def _record(value: Any, scope: Scope, owner: str) -> str | None:  # noqa: ANN401  # a dataclass instance
    if not dataclasses.is_dataclass(value) or import_of(type(value)) is None:
        return None
    kind = render_type(type(value), scope, owner=owner)
    given = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.init)
    return f"{kind}({', '.join(f'{name}={render_value(v, scope, owner=owner)}' for name, v in given)})"


_Renderer = Callable[[Any, Scope, str], str | None]

_RENDERERS: tuple[tuple[type[Any] | tuple[type[Any], ...], _Renderer], ...] = (
    (enum.Enum, _enum_member),
    ((bool, int, float, str, bytes, complex, type(None)), _plain),
    ((dict, list, tuple, set, frozenset), _container),
    (re.Pattern, _pattern),
    (logging.Logger, _logger),
    ((types.FunctionType, types.BuiltinFunctionType), _function),
    (object, _type),
    (object, _record),
)
"""In order of trust; a renderer that cannot say it all returns None."""
