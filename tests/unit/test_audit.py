"""The audit of dependencies never passes in silence."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "audit_dependencies.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_dependencies", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def vulnerable(identifier: str) -> dict[str, Any]:
    return {
        "name": "p",
        "version": "1",
        "vulns": [{"id": "GHSA-x", "aliases": [identifier], "fix_versions": ["2"], "description": ""}],
    }


CLEAN = {"name": "clean", "version": "1", "vulns": []}
SKIPPED = {"name": "unknown", "skip_reason": "not found"}


def test_a_clean_audit_says_how_much_it_looked_at(audit: ModuleType) -> None:
    assert audit.report([CLEAN], strict=True) == (0, ["Audited 1 dependencies."])


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 3)])
@pytest.mark.parametrize("dependencies", [[], [CLEAN, SKIPPED]])
def test_an_unreachable_service_is_said(
    audit: ModuleType, dependencies: list[dict[str, Any]], code: int, *, strict: bool
) -> None:
    found, lines = audit.report(dependencies, strict=strict)

    assert found == code
    assert lines[-1].startswith("NOT AUDITED")


def test_a_vulnerability_fails_unless_it_is_accepted_with_a_reason(audit: ModuleType) -> None:
    failed, lines = audit.report([vulnerable("CVE-1")], strict=False)
    accepted, reasons = audit.report([vulnerable("CVE-2025-69872")], strict=False)

    assert (failed, accepted) == (1, 0)
    assert "fixed in 2" in lines[0]
    assert "accepted: diskcache" in reasons[0]
