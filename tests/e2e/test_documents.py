"""What the documents show runs as it stands against a running service."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dspy_service.client import Client
from tests.support.compiled_programs import compiled_files

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8000"


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def jobs_and_models(document: str) -> tuple[str, list[str]]:
    """Return the Python that submits a job as one script, and each block that calls a program as a model."""
    found = blocks(document, "python")
    models = [block for block in found if "openai.OpenAI(" in block]
    return "\n".join(block for block in found if block not in models), models


def run(command: list[str], folder: Path) -> str:
    """Run in a folder, and return what was printed."""
    own = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "no_proxy": "*", "DSPY_CACHEDIR": str(folder / "cache")}
    environment = {**os.environ, **own}
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
    script = jobs_and_models(document)[0].replace("Client()", f"Client({service.base_url!r})")
    (tmp_path / "shown.py").write_text(script, encoding="utf-8")

    printed = run([sys.executable, "shown.py"], tmp_path)

    before, after = re.findall(r"^([\d.]+) → ([\d.]+)$", printed, flags=re.MULTILINE)[0]
    assert 0 <= float(before) <= float(after) <= 1


def test_the_example_of_openais_client_calls_a_deployed_program(service: Any, tmp_path: Path) -> None:  # noqa: ANN401  # the fixture of conftest
    fields = [{"name": "ticket", "side": "input", "type": "str"}, {"name": "team", "side": "output", "type": "str"}]
    program, metadata = map(json.loads, compiled_files(*fields))
    with Client(service.base_url) as client:
        client.programs.deploy("tickets", program=program, program_metadata=metadata, model="demo/in-context")
        expected = client.programs.predict("tickets", {"ticket": "My parcel is lost."}).answer
    (example,) = jobs_and_models("README.md")[1]
    (tmp_path / "shown.py").write_text(example.replace("http://localhost:8000", service.base_url), encoding="utf-8")

    printed = run([sys.executable, "shown.py"], tmp_path)

    assert expected
    assert printed.splitlines() == [expected, expected]


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
