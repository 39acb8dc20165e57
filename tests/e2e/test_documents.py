"""What the documents show runs as it stands against a running service."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8000"


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path) -> str:
    """Run in a folder, and return what was printed."""
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "no_proxy": "*"}
    done = subprocess.run(  # noqa: S603  # the documents' own commands
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("document", "linked"), [("README.md", "usage_guide"), ("usage_guide/README.md", "usage_guide/data")]
)
def test_the_python_of_a_document_runs_from_its_own_folder(
    document: str,
    linked: str,
    service: Any,  # noqa: ANN401  # the fixture of conftest
    tmp_path: Path,
) -> None:
    (tmp_path / Path(linked).name).symlink_to(ROOT / linked)
    script = "\n".join(blocks(document, "python")).replace("Client()", f"Client({service.base_url!r})")
    (tmp_path / "shown.py").write_text(script, encoding="utf-8")

    printed = run([sys.executable, "shown.py"], tmp_path)

    before, after = re.findall(r"^([\d.]+) → ([\d.]+)$", printed, flags=re.MULTILINE)[0]
    assert 0 <= float(before) <= float(after) <= 1


def test_the_curl_commands_submit_a_job_and_read_it(service: Any, tmp_path: Path) -> None:  # noqa: ANN401  # the fixture of conftest
    submitting, reading = (
        block.replace(ADDRESS, service.base_url) for block in blocks("usage_guide/README.md", "bash") if "curl" in block
    )

    job_id = re.findall(r'"job_id":"([^"]+)"', run(["bash", "-c", submitting], tmp_path))[0]
    ended = service.wait(job_id)
    printed = run(["bash", "-c", reading.replace("JOB=…", f"JOB={job_id}")], tmp_path)

    assert ended["status"] == "success", ended["message"]
    assert '"status":"success"' in printed
    assert "Average Metric" in printed
    assert (tmp_path / "program.pkl").stat().st_size > 0
