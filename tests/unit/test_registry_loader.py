"""The operator's catalogue is loaded by name, and every way to get that wrong is a sentence."""

import sys
from pathlib import Path

import pytest

from dspy_service.adapters.registry_loader import DEFAULT_REGISTRY, load_registry
from dspy_service.domain.errors import ConfigurationError

OWN = """
from dspy_service.domain.catalogue.entries import ModuleEntry

def configure(registry):
    registry.register_module(ModuleEntry(name="triage", factory="own.Triage", description="Ours."))

def broken(registry):
    raise RuntimeError("no such plan")

a_number = 3
"""


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_catalogue.py").write_text(OWN)
    (tmp_path / "own_bad_import.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_catalogue", "own_bad_import"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_function_adds_to_the_built_in_catalogue() -> None:
    registry = load_registry("own_catalogue:configure")

    assert registry.module("triage").factory == "own.Triage"
    assert registry.optimizer("gepa")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("own_catalogue", "write it as package.module:function"),
        (":configure", "write it as package.module:function"),
        ("own_catalogue:nothing", "own_catalogue has no function 'nothing'"),
        ("own_catalogue:a_number", "own_catalogue has no function 'a_number'"),
        ("own_catalogue:broken", "it raised RuntimeError: no such plan"),
        ("own_bad_import:configure", "importing own_bad_import raised ModuleNotFoundError"),
        ("nowhere:configure", "importing nowhere raised ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(target: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match="DSPY_SERVICE_REGISTRY") as caught:
        load_registry(target)

    assert reason in str(caught.value)


def test_an_installation_without_a_main_module_has_the_built_in_catalogue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "main", None)  # Python's own way to say that a module cannot be found

    registry = load_registry(DEFAULT_REGISTRY)

    assert registry.module("predict")
