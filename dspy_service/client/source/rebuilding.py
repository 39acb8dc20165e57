"""Write a class again from what it holds, for classes whose text is not available.

That is the case at a prompt and in a notebook, and for classes made by a call: ``dspy.Signature("a -> b")``,
``Triage.with_instructions(...)``, ``pydantic.create_model(...)``.
"""

import enum
import inspect
from types import FunctionType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dspy_service.client.errors import SourceError
from dspy_service.client.source.rendering import Scope, render_type, render_value


def rebuild_class(cls: type[Any], scope: Scope) -> str:
    """Return source that defines a class with the same fields or members.

    Raises:
        SourceError: the class is none of signature, pydantic model and enum, or holds code whose text is lost.
    """
    _refuse_lost_methods(cls)
    if is_signature(cls):
        return _signature(cls, scope)
    if issubclass(cls, enum.Enum):
        return _enum(cls, scope)
    if issubclass(cls, BaseModel):
        return _model(cls, scope)
    message = (
        f"The source of the class `{cls.__name__}` is not available; write it in a file, or submit it as a string."
    )
    raise SourceError(message, name=cls.__name__)


def _refuse_lost_methods(cls: type[Any]) -> None:
    """Methods have text of their own; a class without them would be another one."""
    for member in vars(cls).values():
        function = inspect.unwrap(member) if isinstance(member, FunctionType) else None
        if function is not None and function.__code__.co_qualname == f"{cls.__qualname__}.{function.__name__}":
            message = f"The source of `{cls.__name__}.{function.__name__}` is not available; write the class in a file."
            raise SourceError(message, name=f"{cls.__name__}.{function.__name__}")


def is_signature(cls: type[Any]) -> bool:
    """Whether a class is a DSPy signature, told without importing DSPy."""
    return all(hasattr(cls, name) for name in ("input_fields", "output_fields", "instructions", "model_fields"))


def _signature(cls: type[Any], scope: Scope) -> str:
    dspy = scope.import_module("dspy")
    lines = [f"class {cls.__name__}({dspy}.Signature):", f"    {_docstring(cls.instructions)}", ""]
    for name, field in cls.model_fields.items():
        extra = field.json_schema_extra or {}
        arguments = {"desc": extra["desc"]} if extra.get("desc", f"${{{name}}}") != f"${{{name}}}" else {}
        kind = "InputField" if extra.get("__dspy_field_type") == "input" else "OutputField"
        lines.append(_field(name, field, f"{dspy}.{kind}", arguments, scope))
    return "\n".join(lines) + "\n"


def _model(cls: type[BaseModel], scope: Scope) -> str:
    decorators = cls.__pydantic_decorators__
    if any(getattr(decorators, kind) for kind in decorators.__dataclass_fields__):
        message = f"The model `{cls.__name__}` has validators whose source is not available; write it in a file."
        raise SourceError(message, name=cls.__name__)
    pydantic = scope.import_module("pydantic")
    lines = [f"class {cls.__name__}({pydantic}.BaseModel):"]
    if cls.__doc__:
        lines += [f"    {_docstring(cls.__doc__)}", ""]
    if cls.model_config:
        lines.append(f"    model_config = {render_value(dict(cls.model_config), scope, owner=cls.__name__)}")
    for name, field in cls.model_fields.items():
        arguments = {key: getattr(field, key) for key in ("description", "alias") if getattr(field, key)}
        lines.append(_field(name, field, f"{pydantic}.Field", arguments, scope))
    return "\n".join([*lines, "    pass"] if len(lines) == 1 else lines) + "\n"


def _enum(cls: type[enum.Enum], scope: Scope) -> str:
    bases = ", ".join(render_type(parent, scope, owner=cls.__name__) for parent in cls.__bases__)
    members = [
        f"    {name} = {render_value(member._value_, scope, owner=f'{cls.__name__}.{name}')}"
        for name, member in cls.__members__.items()
    ]
    return "\n".join([f"class {cls.__name__}({bases}):", *members]) + "\n"


def _field(name: str, field: FieldInfo, maker: str, arguments: dict[str, Any], scope: Scope) -> str:
    annotation = render_type(field.annotation, scope, owner=name)
    given = dict(arguments)
    extra_metadata = []
    for item in field.metadata:
        constraint = _constraint(item)
        given.update(constraint)
        if not constraint:
            extra_metadata.append(render_value(item, scope, owner=name))
    if extra_metadata:
        annotation = f"{scope.import_module('typing')}.Annotated[{annotation}, {', '.join(extra_metadata)}]"
    if field.default is not PydanticUndefined:
        given["default"] = field.default
    if field.default_factory is not None:
        given["default_factory"] = field.default_factory
    written = ", ".join(f"{key}={render_value(value, scope, owner=name)}" for key, value in given.items())
    return f"    {name}: {annotation} = {maker}({written})"


def _constraint(item: object) -> dict[str, Any]:
    """Read ``Ge(ge=0)`` and its kin as the keyword that made them."""
    module = type(item).__module__
    if not module.startswith(("annotated_types", "pydantic.")):
        return {}
    names = getattr(item, "__slots__", None) or getattr(item, "__dataclass_fields__", None) or vars(item)
    return {name: getattr(item, name) for name in names if getattr(item, name, None) is not None}


def _docstring(text: str) -> str:
    if '"' in text or "\\" in text or not text.isprintable():
        return repr(text)
    return f'"""{text}"""'
