"""Looks up every locked dependency in the advisory database, and says so when it could not.

Exits with 1 for a known vulnerability that is not accepted below. Where the advisory service cannot be reached, it
prints ``NOT AUDITED`` and exits with 0, or with 3 under ``--strict``.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"

ACCEPTED: Mapping[str, str] = {
    "CVE-2025-69872": "diskcache unpickles what it reads; DSPy's disk cache is off in every process of ours",
}
"""Advisories that do not apply here, with the reason."""

EXIT_VULNERABLE = 1
EXIT_NOT_AUDITED = 3


def report(dependencies: list[dict[str, Any]], *, strict: bool) -> tuple[int, list[str]]:
    """Return the exit code and what to print about pip-audit's list of dependencies."""
    lines, is_vulnerable = [], False
    skipped = [each["name"] for each in dependencies if "skip_reason" in each]
    for dependency in dependencies:
        for found in dependency.get("vulns", ()):
            reason = next((ACCEPTED[name] for name in (found["id"], *found["aliases"]) if name in ACCEPTED), None)
            is_vulnerable |= reason is None
            verdict = (
                f"accepted: {reason}" if reason else f"fixed in {', '.join(found['fix_versions']) or 'nothing yet'}"
            )
            lines.append(f"{dependency['name']} {dependency['version']}: {found['id']} ({verdict})")
    if skipped or not dependencies:
        which = ", ".join(skipped[:5]) + (", …" if len(skipped) > len(skipped[:5]) else "")
        lines.append(
            f"NOT AUDITED: {len(skipped)} of {len(dependencies)} dependencies could not be looked up ({which})."
        )
    else:
        lines.append(f"Audited {len(dependencies)} dependencies.")
    if is_vulnerable:
        return EXIT_VULNERABLE, lines
    return (EXIT_NOT_AUDITED if strict and (skipped or not dependencies) else 0), lines


def main() -> int:
    """Ask pip-audit and print the report."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip"]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(done.stderr.strip()[-500:])
        dependencies = []
    code, lines = report(dependencies, strict="--strict" in sys.argv[1:])
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
