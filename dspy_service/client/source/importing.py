"""What the service has too, and can therefore import; everything else must travel as source."""

import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_INSTALLED_FOLDERS = tuple(
    Path(path).resolve()
    for key, path in sysconfig.get_paths().items()
    if key in {"stdlib", "platstdlib", "purelib", "platlib"}
)


def is_installed(module_name: str) -> bool:
    """Whether a module belongs to Python or to an installed package, and not to the user's own project."""
    if module_name == "__main__":
        return False
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        return True
    module = sys.modules.get(module_name)
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    return "dist-packages" in path.parts or any(path.is_relative_to(folder) for folder in _INSTALLED_FOLDERS)


def import_of(value: Any) -> tuple[str, str] | None:  # noqa: ANN401  # anything that a global name can hold
    """Return ``(module, attribute)`` from which an installed thing can be imported, by its shortest public path."""
    module_name = getattr(value, "__module__", None)
    attribute = getattr(value, "__qualname__", None) or getattr(value, "_name", None)
    if not isinstance(module_name, str) or not isinstance(attribute, str) or not is_installed(module_name):
        return None
    top = module_name.partition(".")[0]
    for candidate in (top, module_name):
        if find(candidate, attribute) is value:
            return candidate, attribute
    return None


def find(module_name: str, qualname: str) -> object:
    """Return what a loaded module holds under a dotted name; None when there is no such thing."""
    found: object = sys.modules.get(module_name)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def namespace_of(value: Any) -> Mapping[str, object]:  # noqa: ANN401  # a function or a class
    """Return the globals in which a function or class was written."""
    found = getattr(value, "__globals__", None)
    if isinstance(found, dict):
        return found
    module = sys.modules.get(value.__module__)
    return vars(module) if isinstance(module, ModuleType) else {}
