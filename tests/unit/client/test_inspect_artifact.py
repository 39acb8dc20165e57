"""`inspect_artifact.py` describes an artifact and tries its program."""

import json
from pathlib import Path
from typing import Literal

import dspy
import pytest

import inspect_artifact


class Route(dspy.Signature):
    """Route the ticket."""

    ticket: str = dspy.InputField()
    team: Literal["billing", "delivery"] = dspy.OutputField()


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    program = dspy.Predict(Route)
    program.demos = [
        dspy.Example(ticket="My invoice is wrong", team="billing"),
        dspy.Example(ticket="Where is my parcel", team="delivery"),
    ]
    program.save(str(tmp_path / "artifact"), save_program=True)
    metadata = json.loads((tmp_path / "artifact" / "metadata.json").read_text())
    metadata |= {"optimizer_name": "miprov2", "optimized_test_metric": 0.9}
    (tmp_path / "artifact" / "metadata.json").write_text(json.dumps(metadata))
    return tmp_path / "artifact"


def test_an_artifact_is_described(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main([str(artifact)])

    text = capsys.readouterr().out
    assert code == 0
    assert "optimizer_name: miprov2" in text
    assert "Route, 2 demonstrations" in text
    assert "Route the ticket." in text
    assert "out team" in text


def test_its_program_answers_with_the_demo_model(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main([str(artifact), "--inputs", '{"ticket": "the invoice is wrong"}'])

    assert code == 0
    assert "team: billing" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["no/such/folder"]])
def test_a_folder_without_an_artifact_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main(arguments)

    assert code == 1
    assert "metadata.json" in capsys.readouterr().err
