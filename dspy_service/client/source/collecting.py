"""Put source together: imports, then everything that the object needs, then the object itself, last."""

import inspect
import re
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from dspy_service.client.errors import SourceError
from dspy_service.client.source.importing import import_of, is_installed, namespace_of
from dspy_service.client.source.names import annotation_names, global_names, is_builtin, quoted_names
from dspy_service.client.source.reading import read_class, read_function, refuse_closure
from dspy_service.client.source.rebuilding import rebuild_class
from dspy_service.client.source.rendering import is_type_expression, render_value

_FUTURE_ANNOTATIONS = 0x1000000  # __future__.annotations.compiler_flag
_METRIC_NAME = "metric"  # for a lambda, which has no name


def serialize_source(obj: type[Any] | Callable[..., Any]) -> str:
    """Return source that defines ``obj`` in an empty module, as its last definition.

    Works for functions and classes from files and notebooks. Functions, classes and constants of the user's own that
    they use come along; what belongs to installed packages is imported, so the service needs those packages too. A
    signature, pydantic model or enum without text (a prompt, ``dspy.Signature("a -> b")``) is written from its fields.
    A function that brings other public functions along is renamed ``metric``, which is how the service tells it apart.

    Raises:
        SourceError: something cannot travel; ``name`` says what.
    """
    collector = _Collector()
    if inspect.isclass(obj):
        collector.define(obj.__name__, obj)
    elif callable(obj):
        name = getattr(obj, "__name__", type(obj).__name__)
        collector.define_metric(_METRIC_NAME if name == "<lambda>" else name, obj)
    else:
        message = f"Expected a class or a function, not a {type(obj).__name__}."
        raise SourceError(message, name=type(obj).__name__)
    return collector.text()


class _Collector:
    """A module in the making: each global name once, dependencies before dependents."""

    def __init__(self) -> None:
        self._imports: dict[str, None] = {}
        self._blocks: list[str] = []
        self._bound: dict[str, object] = {}
        self._needs_future_annotations = False
        self._functions: list[str] = []

    def text(self) -> str:
        future = ["from __future__ import annotations\n"] if self._needs_future_annotations else []
        imports = ["\n".join(self._imports) + "\n"] if self._imports else []
        return "\n".join(
            [*future, *imports, *(f"\n{block}" if "\n" in block.strip() else block for block in self._blocks)]
        )

    def import_module(self, module_name: str) -> str:
        top = module_name.partition(".")[0]
        self._claim(top, ModuleType(top), is_import=True)
        self._imports.setdefault(f"import {module_name}")
        return module_name

    def refer(self, value: Any) -> str:  # noqa: ANN401  # a function or class of the user's own
        name: str = value.__name__
        if name == "<lambda>":
            bound = (taken for taken, present in self._bound.items() if present is value)
            name = next(bound, f"_lambda_{len(self._functions)}")
        self.define(name, value)
        return name

    def define(self, name: str, value: type[Any] | Callable[..., Any]) -> None:
        """Add the source of a function or class, after all that it needs."""
        if not self._claim(name, value):
            return
        if inspect.isclass(value):
            text = self._class_text(value)
        else:
            text = read_function(value, name=name)
            self._functions.append(name)
        if text is not None:
            self._resolve(text, name, value)
            self._blocks.append(text)

    def define_metric(self, name: str, function: Callable[..., Any]) -> None:
        """Add the function that is asked for, so that it is the only public one or called ``metric``."""
        self.define(name, function)
        others = [other for other in self._functions if other != name and not other.startswith("_")]
        if name == _METRIC_NAME or not (others or name.startswith("_")):
            return
        self._claim(_METRIC_NAME, function)
        renamed = re.sub(
            rf"^((?:async )?def ){re.escape(name)}\b", rf"\1{_METRIC_NAME}", self._blocks[-1], flags=re.MULTILINE
        )
        self._blocks[-1] = renamed
        self._blocks.append(f"{name} = {_METRIC_NAME}\n")

    def _class_text(self, cls: type[Any]) -> str | None:
        for member in vars(cls).values():
            if (
                isinstance(member, FunctionType)
                and member.__code__.co_qualname == f"{cls.__qualname__}.{member.__name__}"
            ):
                refuse_closure(member, name=f"{cls.__name__}.{member.__name__}")
        text = read_class(cls)
        if text is None:
            self._blocks.append(rebuild_class(cls, self))
        return text

    def _resolve(self, text: str, owner: str, value: Any) -> None:  # noqa: ANN401  # a function or class
        known = {**_field_types(value), **namespace_of(inspect.unwrap(value))}
        never_looked_up: set[str] = set()
        if _has_future_annotations(value):
            self._needs_future_annotations = True
            never_looked_up = annotation_names(text) if not inspect.isclass(value) else set()
        for name in global_names(text):
            if name == value.__name__ or is_builtin(name, known):
                continue
            if name in known:
                self._require(name, known[name])
            elif name not in never_looked_up:
                message = f"`{owner}` uses `{name}`, which is not defined at module level; define it there or inside."
                raise SourceError(message, name=name)
        for name in quoted_names(text):
            if name in known and name != value.__name__:
                self._require(name, known[name])

    def _require(self, name: str, value: Any) -> None:  # noqa: ANN401  # whatever a global name holds
        """Bind a global name to the same thing as where the source was written."""
        if isinstance(value, ModuleType):
            self._require_module(name, value)
            return
        imported = import_of(value)
        if imported is not None and "." not in imported[1]:
            if self._claim(name, value):
                alias = "" if imported[1] == name else f" as {name}"
                self._imports.setdefault(f"from {imported[0]} import {imported[1]}{alias}")
        elif (inspect.isclass(value) and not is_type_expression(value)) or isinstance(value, FunctionType):
            self._require_own(name, value)
        elif self._claim(name, value):
            expression = render_value(value, self, owner=name)
            self._blocks.append(f"{name} = {expression}\n")

    def _require_own(self, name: str, value: Any) -> None:  # noqa: ANN401  # a function or class
        own_name = name if value.__name__ == "<lambda>" else value.__name__
        self.define(own_name, value)
        if own_name != name and self._claim(name, value):
            self._blocks.append(f"{name} = {own_name}\n")

    def _require_module(self, name: str, module: ModuleType) -> None:
        if not is_installed(module.__name__):
            message = (
                f"`{name}` is a module of your project, which the service does not have; import what you use from it."
            )
            raise SourceError(message, name=name)
        if self._claim(name, module, is_import=True):
            alias = "" if module.__name__ == name else f" as {name}"
            self._imports.setdefault(f"import {module.__name__}{alias}")

    def _claim(self, name: str, value: object, *, is_import: bool = False) -> bool:
        """Take a global name for a value; False when it has it already."""
        if name not in self._bound:
            self._bound[name] = value
            return True
        present = self._bound[name]
        both_modules = is_import and isinstance(present, ModuleType) and isinstance(value, ModuleType)
        same_module = both_modules and getattr(present, "__name__", "") == getattr(value, "__name__", None)
        if present is not value and not same_module:
            message = f"Two different things are called `{name}`; rename one of them."
            raise SourceError(message, name=name)
        return False


def _field_types(value: Any) -> dict[str, object]:  # noqa: ANN401  # a function or class
    """Return the classes among a model's field types, which may be local to the function that defined it."""
    found: dict[str, object] = {}
    pending = [field.annotation for field in getattr(value, "model_fields", {}).values()]
    while pending:
        annotation = pending.pop()
        pending.extend(getattr(annotation, "__args__", ()))
        if inspect.isclass(annotation) and not is_type_expression(annotation):
            found.setdefault(annotation.__name__, annotation)
    return found


def _has_future_annotations(value: Any) -> bool:  # noqa: ANN401  # a function or class
    if isinstance(value, FunctionType):
        return bool(inspect.unwrap(value).__code__.co_flags & _FUTURE_ANNOTATIONS)
    return getattr(namespace_of(value).get("annotations"), "compiler_flag", None) == _FUTURE_ANNOTATIONS
