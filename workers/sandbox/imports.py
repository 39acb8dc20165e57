"""Imports what a confined process may need before its files are closed to it."""

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dspy_service.domain.errors import ConfigurationError


def resolve(path: str) -> Any:  # noqa: ANN401  # a dotted path may name anything
    """Import what a dotted path names.

    Raises:
        ConfigurationError: there is no such thing.
    """
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name, None)
        if found is not None:
            return found
    raise ConfigurationError(f"Nothing is importable as {path!r}.")


def import_factories(factories: Iterable[str]) -> None:
    """Import the operator's modules and optimizers while their files can be read.

    One that fails is named on standard error, and fails whatever asks for it, not the rest.
    """
    for path in factories:
        try:
            resolve(path)
        except Exception as error:  # noqa: BLE001  # the operator's own code may fail in any way
            sys.stderr.write(f"{path} cannot be imported: {type(error).__name__}: {error}\n")


def forget_unreadable(readable: Iterable[str]) -> None:
    """Take the folders that confinement closed out of the import path, so that nothing is looked for in them."""
    open_folders = tuple(Path(path) for path in readable)
    if not open_folders:
        return
    sys.path[:] = [entry for entry in sys.path if _is_below(entry, open_folders)]
    sys.path_importer_cache.clear()


def _is_below(entry: str, folders: Iterable[Path]) -> bool:
    return any(Path(entry).is_relative_to(folder) for folder in folders)
