"""Finds ``dspy.Signature`` classes and their fields in a syntax tree."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

_Side = Literal["input", "output"]

_FIELD_CALLS: Mapping[str, _Side] = {
    "InputField": "input",
    "OldInputField": "input",
    "OutputField": "output",
    "OldOutputField": "output",
}


_STARRED = frozenset({"Signature", *_FIELD_CALLS})
"""What ``from dspy import *`` brings, of the names that matter here."""


_TAKEN = frozenset({"fields", "input_fields", "instructions", "model_config", "output_fields", "signature"})
"""Attributes of every signature: a field of such a name hides one, and DSPy then fails far away."""

_TAKEN_BY_CALLS = frozenset({"completions", "config", "demos", "lm", "new_signature", "self"})
"""Keyword arguments that DSPy takes for itself when a program is called with its inputs."""

_HIDDEN_PREFIX = "dspy_"  # ``Example.keys`` leaves these out, so the program would never see the value


@dataclass(frozen=True)
class SignatureClass:
    """A class of the source that is a signature, with its own and its inherited fields."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def taken_names(self) -> list[str]:
        """Return the fields that cannot work, because DSPy or pydantic uses their names."""
        return [
            *(name for name in self.inputs if name in _TAKEN_BY_CALLS or name.startswith(_HIDDEN_PREFIX)),
            *(name for name in (*self.inputs, *self.outputs) if name in _TAKEN or name.startswith("_")),
        ]


def find_signatures(tree: ast.Module) -> list[SignatureClass]:
    """Return the signatures that no other class of the source extends, in order.

    A class counts when one of its bases is DSPy's ``Signature``, under any name it was imported as, or a
    class of the source that counts itself. Only ``dspy`` itself is bound before the source runs.
    """
    aliases = _imported_names(tree)
    fields: dict[str, dict[str, _Side]] = {}
    extended: set[str] = set()
    for node in _top_level(tree.body):
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [_resolved(base, aliases) for base in node.bases]
        local = [base for base in bases if base in fields]
        if not local and not any(_is_dspy(base, "Signature") for base in bases):
            fields.pop(node.name, None)  # a later class of the same name hides the signature
            continue
        extended.update(base for base in local if base != node.name)
        extended.discard(node.name)
        fields[node.name] = _inherited(local, fields) | _declared(node, aliases)
    return [_signature(name, sides) for name, sides in fields.items() if name not in extended]


def _signature(name: str, sides: Mapping[str, _Side]) -> SignatureClass:
    return SignatureClass(
        name=name,
        inputs=tuple(field for field, side in sides.items() if side == "input"),
        outputs=tuple(field for field, side in sides.items() if side == "output"),
    )


def _inherited(bases: Sequence[str], fields: Mapping[str, Mapping[str, _Side]]) -> dict[str, _Side]:
    merged: dict[str, _Side] = {}
    for base in reversed(bases):  # as in Python, the first base wins
        merged.update(fields[base])
    return merged


def _declared(node: ast.ClassDef, aliases: Mapping[str, str]) -> dict[str, _Side]:
    """Read ``name: type = InputField(...)`` and ``name = InputField(...)``."""
    found: dict[str, _Side] = {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign):
            targets: list[ast.expr] = [statement.target]
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        else:
            continue
        side = _field_side(statement.value, aliases)
        if side is not None:
            found.update({target.id: side for target in targets if isinstance(target, ast.Name)})
    return found


def _field_side(value: ast.expr | None, aliases: Mapping[str, str]) -> _Side | None:
    if not isinstance(value, ast.Call):
        return None
    called = _resolved(value.func, aliases)
    return next((side for name, side in _FIELD_CALLS.items() if _is_dspy(called, name)), None)


def _is_dspy(dotted: str, name: str) -> bool:
    return dotted.startswith("dspy.") and dotted.endswith(f".{name}")


def _resolved(expression: ast.expr, aliases: Mapping[str, str]) -> str:
    """Return the dotted name behind an expression, imports followed; empty for anything else."""
    parts: list[str] = []
    while isinstance(expression, ast.Attribute):
        parts.append(expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        return ""
    name = expression.id
    root = aliases.get(name) or (f"dspy.{name}" if name in _STARRED and aliases.get("*") == "dspy.*" else name)
    return ".".join([root, *reversed(parts)])


def _imported_names(tree: ast.Module) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for node in _top_level(tree.body):
        if isinstance(node, ast.Import):
            aliases.update({each.asname: each.name for each in node.names if each.asname})
        elif isinstance(node, ast.ImportFrom):
            aliases.update({each.asname or each.name: f"{node.module or ''}.{each.name}" for each in node.names})
    return aliases


def _top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's statements, those under ``if``, ``try`` and ``with`` included."""
    waiting = list(reversed(body))
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            inner = [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            for handler in getattr(node, "handlers", []):
                inner.extend(handler.body)
            waiting.extend(reversed(inner))
