"""Writes the table of settings into the README, or with ``--check`` says whether it stands there already."""

import sys
from pathlib import Path

from dspy_service.settings_table import settings_table

README = Path(__file__).resolve().parent.parent / "README.md"
START = "<!-- settings:start -->"
END = "<!-- settings:end -->"
HEAD = "| variable | default | meaning |\n|---|---|---|"


def with_table(text: str, rows: str) -> str:
    """Return ``text`` with the table of ``rows`` between the two markers."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        sys.exit(f"{README.name} needs the lines {START} and {END}, in this order.")
    return f"{before}{START}\n{HEAD}\n{rows.strip()}\n{END}{after}"


def main() -> None:
    """Rewrite the README, or compare."""
    present = README.read_text(encoding="utf-8")
    wanted = with_table(present, settings_table())
    if "--check" not in sys.argv[1:]:
        README.write_text(wanted, encoding="utf-8")
    elif present != wanted:
        sys.exit(f"The settings in {README.name} are out of date; run `make docs`.")


if __name__ == "__main__":
    main()
