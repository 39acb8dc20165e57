"""Finds optimizers and modules by any of their names: the built-in ones and the operator's own."""

from collections.abc import Mapping
from typing import TypeVar

from dspy_service.domain.catalogue import few_shot, gepa, mipro
from dspy_service.domain.catalogue.entries import ModuleEntry, OptimizerEntry
from dspy_service.domain.catalogue.kwargs import nearest
from dspy_service.domain.catalogue.modules import MODULES
from dspy_service.domain.catalogue.rules import Rule, no_rule
from dspy_service.domain.errors import ConfigurationError, UnsupportedRequestError

_Entry = TypeVar("_Entry", ModuleEntry, OptimizerEntry)

_OPTIMIZERS: tuple[tuple[OptimizerEntry, Rule], ...] = (
    (mipro.ENTRY, mipro.rule),
    (gepa.ENTRY, gepa.rule),
    (few_shot.BOOTSTRAP, no_rule),
    (few_shot.RANDOM_SEARCH, few_shot.random_search_rule),
    (few_shot.LABELED, no_rule),
)


class Registry:
    """What a client may name. It starts with the built-ins; operators add theirs in ``configure_registry``.

    Filled once when a process starts, before anything reads it.
    """

    def __init__(self) -> None:
        self._modules: dict[str, ModuleEntry] = {}
        self._optimizers: dict[str, OptimizerEntry] = {}
        self._rules: dict[str, Rule] = {}
        for module in MODULES:
            self.register_module(module)
        for optimizer, rule in _OPTIMIZERS:
            self.register_optimizer(optimizer, rule=rule)

    def register_module(self, entry: ModuleEntry) -> None:
        """Add a module.

        Raises:
            ConfigurationError: one of its names is taken.
        """
        _add(self._modules, entry, "module")

    def register_optimizer(self, entry: OptimizerEntry, *, rule: Rule = no_rule) -> None:
        """Add an optimizer, with a rule for kwargs that depend on each other.

        Raises:
            ConfigurationError: one of its names is taken.
        """
        _add(self._optimizers, entry, "optimizer")
        self._rules[entry.name] = rule

    def module(self, name: str) -> ModuleEntry:
        """Return the entry that answers to ``name``, or raise UnsupportedRequestError."""
        return _find(self._modules, name, field="module_name", noun="module")

    def optimizer(self, name: str) -> OptimizerEntry:
        """Return the entry that answers to ``name``, or raise UnsupportedRequestError."""
        return _find(self._optimizers, name, field="optimizer_name", noun="optimizer")

    def optimizer_called(self, name: str) -> str:
        """Return the short name of the optimizer that answers to ``name``; an unknown name as it is."""
        entry = self._optimizers.get(name)
        return name if entry is None else entry.name

    def rule(self, entry: OptimizerEntry) -> Rule:
        """Return the rule that was registered with an optimizer."""
        return self._rules[entry.name]

    @property
    def module_names(self) -> list[str]:
        """The short name of every module, in the order of registration."""
        return list(dict.fromkeys(entry.name for entry in self._modules.values()))

    @property
    def factories(self) -> list[str]:
        """The dotted path of everything registered, sorted."""
        modules = {entry.factory for entry in self._modules.values()}
        return sorted(modules | {entry.factory for entry in self._optimizers.values()})

    @property
    def optimizer_names(self) -> list[str]:
        """The short name of every optimizer, sorted."""
        return sorted({entry.name for entry in self._optimizers.values()})


def _add(names: dict[str, _Entry], entry: _Entry, noun: str) -> None:
    own = dict.fromkeys((entry.name, *entry.also_known_as))
    for name in own:
        if name in names:
            message = (
                f"The {noun} name {name!r} is taken by {names[name].factory}; register {entry.factory} under another."
            )
            raise ConfigurationError(message)
    names.update(dict.fromkeys(own, entry))


def _find(names: Mapping[str, _Entry], name: str, *, field: str, noun: str) -> _Entry:
    entry = names.get(name)
    if entry is None:
        known = ", ".join(dict.fromkeys(each.name for each in names.values()))
        hint = nearest(name, names) or "."
        message = f"{field}: there is no {noun} {name!r}{hint} Available: {known}."
        raise UnsupportedRequestError(message, field=field)
    return entry
