"""The notebook of the usage guide runs from top to bottom against a running service."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

GUIDE = Path(__file__).resolve().parents[2] / "usage_guide"
NOTEBOOKS = sorted(GUIDE.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)

    kept = [cell for cell in notebook.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]

    assert kept == []


def test_the_first_notebook_runs(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401  # the fixture's
    monkeypatch.setenv("DSPY_CLIENT_URL", service.base_url)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(GUIDE.parent), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)

    NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(GUIDE)}}).execute()

    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "baseline" in printed
    answers = notebook.cells[-1].outputs[-1]["data"]["text/plain"]
    assert answers.strip("'") in {"billing", "logistics", "aftercare", "accounts", "platform", "advice"}
