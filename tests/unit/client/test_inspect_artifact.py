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


def test_no_folder_at_all_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main([])

    assert code == 1
    assert capsys.readouterr().err.startswith("Name the artifact's folder")


def test_a_folder_without_an_artifact_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main(["no/such/folder"])

    assert code == 1
    assert capsys.readouterr().err == "no/such/folder holds no metadata.json and no program.pkl.\n"


def test_a_damaged_program_is_one_sentence(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (artifact / "program.pkl").write_bytes(b"x")

    code = inspect_artifact.main([str(artifact)])

    assert code == 1
    assert "cannot be loaded: UnpicklingError" in capsys.readouterr().err


def test_an_input_that_the_program_does_not_have_is_named(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main([str(artifact), "--inputs", '{"tickt": "the invoice is wrong"}'])

    assert code == 1
    assert capsys.readouterr().err == "The program has no input tickt; its inputs are ticket.\n"


def test_a_model_that_does_not_answer_is_named(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main([str(artifact), "--inputs", '{"ticket": "x"}', "--model", "demo/in-context?bad=1"])

    assert code == 1
    assert "did not answer with demo/in-context?bad=1" in capsys.readouterr().err


@pytest.mark.parametrize(("inputs", "why"), [("{bad", "not JSON"), ("[1]", "not a JSON object")])
def test_inputs_that_are_no_object_are_refused(inputs: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        inspect_artifact.main(["somewhere", "--inputs", inputs])

    assert why in capsys.readouterr().err
