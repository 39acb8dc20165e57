"""Runs source as a runner does, and text as a notebook does."""

import itertools
import linecache
import sys
import types
from typing import Any

_CELLS = itertools.count(1)


def load(source: str) -> dict[str, Any]:
    """Run source in a module that holds nothing else."""
    module = types.ModuleType("submitted_for_test")
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, "<submitted>", "exec", dont_inherit=True), vars(module))  # noqa: S102  # what a runner does
    finally:
        del sys.modules[module.__name__]
    return vars(module)


class Notebook:
    """A module without a file, whose cells only ``linecache`` knows, as in a kernel."""

    def __init__(self, name: str) -> None:
        self.module = types.ModuleType(name)
        sys.modules[name] = self.module

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever a cell defined
        """Return what a cell defined."""
        return getattr(self.module, name)

    def run(self, text: str) -> None:
        """Run a cell."""
        file = f"<cell-{next(_CELLS)} of {self.module.__name__}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec", dont_inherit=True), vars(self.module))  # noqa: S102  # what a kernel does

    def close(self) -> None:
        """Forget the module."""
        del sys.modules[self.module.__name__]
