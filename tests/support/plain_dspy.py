"""An environment that has dspy and none of our packages, to load artifacts as a stranger would."""

import subprocess
import sysconfig
import venv
from pathlib import Path

_OURS_IS_ABSENT = (
    "import importlib.util\n"
    "assert importlib.util.find_spec('dspy_service') is None\n"
    "assert importlib.util.find_spec('workers') is None\n"
)


def run_in_plain_dspy(script: str, *arguments: str | Path, folder: Path) -> str:
    """Run ``script`` in a fresh virtual environment below ``folder`` and return what it printed."""
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    where = _run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    # Third-party packages are shared by path; ours are not, since an editable install's own .pth is not followed.
    Path(where, "third_party.pth").write_text(sysconfig.get_path("purelib"))
    return _run([python, "-W", "ignore", "-c", _OURS_IS_ABSENT + script, *arguments], folder)


def _run(command: list[str | Path], folder: Path) -> str:
    environment = {"HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return subprocess.check_output(command, text=True, cwd=folder, env=environment)  # noqa: S603  # our own interpreter
