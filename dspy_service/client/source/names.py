"""Which global names a piece of source needs to find."""

import ast
import builtins
import symtable
from collections.abc import Iterator, Mapping


def global_names(text: str) -> list[str]:
    """Return the names that ``text`` looks up outside itself, in a stable order, builtins included."""
    found = dict.fromkeys(_looked_up(symtable.symtable(text, "<submitted>", "exec")))
    return [name for name in found if not (name.startswith("__") and name.endswith("__"))]


def quoted_names(text: str) -> list[str]:
    """Return the names inside quoted annotations: types for pydantic, if they are types at all."""
    return list(dict.fromkeys(name for each in _annotations(ast.parse(text)) for name in _quoted(each)))


def is_builtin(name: str, known: Mapping[str, object]) -> bool:
    """Whether a name means Python's own builtin where ``known`` are the globals."""
    builtin = getattr(builtins, name, None)
    return builtin is not None and known.get(name, builtin) is builtin


def annotation_names(text: str) -> set[str]:
    """Return the names inside annotations, which nothing looks up under ``from __future__ import annotations``."""
    found: set[str] = set()
    for annotation in _annotations(ast.parse(text)):
        found.update(node.id for node in ast.walk(annotation) if isinstance(node, ast.Name))
    return found


def _looked_up(table: symtable.SymbolTable) -> Iterator[str]:
    is_module = table.get_type() == "module"
    for symbol in table.get_symbols():
        is_bound_here = symbol.is_assigned() or symbol.is_imported()
        if symbol.is_referenced() and ((is_module and not is_bound_here) or (not is_module and symbol.is_global())):
            yield symbol.get_name()
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()} if is_module else set()
    for child in table.get_children():
        yield from (name for name in _looked_up(child) if name not in bound)


def _annotations(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        annotation = None
        if isinstance(node, ast.AnnAssign | ast.arg):
            annotation = node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            annotation = node.returns
        if annotation is not None:
            yield annotation


def _quoted(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] == "Literal":
        return  # its strings are values
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            inner = ast.parse(node.value, mode="eval")
        except SyntaxError:
            return  # metadata of an Annotated, not a type
        yield from (name.id for name in ast.walk(inner) if isinstance(name, ast.Name))
    for child in ast.iter_child_nodes(node):
        yield from _quoted(child)
