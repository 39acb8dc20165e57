"""Loads the operator's catalogue: the function that ``DSPY_SERVICE_REGISTRY`` names."""

import importlib
from collections.abc import Callable
from types import ModuleType

from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.errors import ConfigurationError

DEFAULT_REGISTRY = "main:configure_registry"


def load_registry(target: str) -> Registry:
    """Return the built-in catalogue after ``target`` (``package.module:function``) added to it.

    An installation without a ``main`` module that has the function has nothing to add, unless it says otherwise.

    Raises:
        ConfigurationError: there is no such function, or importing or calling it failed.
    """
    registry = Registry()
    module_name, separator, function_name = target.partition(":")
    if not (separator and module_name and function_name):
        raise _refused(target, "write it as package.module:function")
    module = _import(module_name, target)
    configure: Callable[[Registry], object] | None = getattr(module, function_name, None)
    if configure is None and target == DEFAULT_REGISTRY:
        return registry
    if not callable(configure):
        raise _refused(target, f"{module_name} has no function {function_name!r}")
    try:
        configure(registry)
    except Exception as error:  # the operator's own code may fail in any way
        raise _refused(target, f"it raised {type(error).__name__}: {error}") from error
    return registry


def _import(module_name: str, target: str) -> ModuleType | None:
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # the operator's own code may fail in any way
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == module_name
        if is_missing and target == DEFAULT_REGISTRY:
            return None
        raise _refused(target, f"importing {module_name} raised {type(error).__name__}: {error}") from error


def _refused(target: str, reason: str) -> ConfigurationError:
    message = f"DSPY_SERVICE_REGISTRY {target!r} cannot be used: {reason}."
    return ConfigurationError(message)
