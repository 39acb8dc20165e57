"""An arrow of the layer drawing means "may import"; nothing else may."""

import subprocess
import sys
from pathlib import Path

from tests.architecture.files import ROOT


def test_every_import_contract_holds() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run(  # noqa: S603 - our own program
        [lint_imports, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout
