"""What the documents say is what the code does."""

import re
import subprocess
import sys

from tests.architecture.files import ROOT


def test_the_settings_in_the_readme_are_the_settings_of_the_service() -> None:
    script = ROOT / "scripts" / "write_settings_table.py"

    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, script, "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / ".ci" / "run"]
    named = {
        word
        for document in documents
        for words in re.findall(
            r"(?:^|[`&;]|\btimed )\s*make ((?:[a-z]+ ?)+)", document.read_text("utf-8"), re.MULTILINE
        )
        for word in words.split()
    }

    assert {"demo", "setup"} <= named
    assert named <= targets
