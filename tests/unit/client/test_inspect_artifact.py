"""`inspect_artifact.py` describes an artifact and tries its program, and runs no pickle unless it is told to."""

import json
import os
import pickle
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import inspect_artifact
from dspy_service.domain.strict_loading import fields_of


class Route(dspy.Signature):
    """Route the ticket."""

    ticket: str = dspy.InputField(desc="what the customer wrote")
    team: Literal["billing", "delivery"] = dspy.OutputField()


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._folder,)


def save(folder: Path, program: dspy.Module, **facts: object) -> Path:
    """Write what the service would have stored."""
    program.demos = [
        dspy.Example(ticket="My invoice is wrong", team="billing"),
        dspy.Example(ticket="Where is my parcel", team="delivery"),
    ]
    program.save(str(folder), save_program=True)
    program.save(str(folder / "program.json"))
    types = {"ticket": "str", "team": "Literal['billing', 'delivery']"}
    fields = [
        {"name": name, "side": side, "type": types[name], "desc": f"${{{name}}}"}
        for name, side in (("ticket", "input"), ("team", "output"))
    ]
    metadata = {
        **json.loads((folder / "metadata.json").read_text()),
        "optimizer_name": "miprov2",
        "module_factory": "dspy.Predict",
        "module_kwargs": {},
        "signature": {"name": "Route", "instructions": "Route the ticket.", "fields": fields},
        "predictors": fields_of(program),
        **facts,
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return save(tmp_path / "artifact", dspy.Predict(Route))


@pytest.fixture
def trapped(artifact: Path, tmp_path: Path) -> Path:
    (artifact / "program.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    return artifact


ASK = ["--inputs", '{"ticket": "the invoice is wrong"}']


def test_an_artifact_is_described(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main([str(artifact)])

    text = capsys.readouterr().out
    assert code == 0
    assert "optimizer_name: miprov2" in text
    assert "dspy.Predict over Route" in text
    assert "2 demonstrations" in text
    assert "Route the ticket." in text
    assert "output team: Literal['billing', 'delivery']" in text


def test_its_program_answers_with_the_demo_model_and_its_pickle_is_not_run(
    trapped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [inspect_artifact.main([str(trapped)]), inspect_artifact.main([str(trapped), *ASK])]

    assert codes == [0, 0]
    assert "team: billing" in capsys.readouterr().out
    assert not (tmp_path / "sprung").exists()


def test_a_program_that_data_cannot_tell_waits_for_consent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = save(tmp_path / "artifact", dspy.Predict(Route), module_factory="my.Module")

    refused = inspect_artifact.main([str(artifact), *ASK])
    said = capsys.readouterr().err
    trusted = inspect_artifact.main([str(artifact), *ASK, "--trust-pickle"])

    assert (refused, trusted) == (1, 0)
    assert "--trust-pickle, which runs the code" in said
    assert "team: billing" in capsys.readouterr().out


def test_a_hostile_state_is_not_loaded(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = json.loads((artifact / "program.json").read_text())
    (artifact / "program.json").write_text(json.dumps({**state, "config": {"api_base": "http://127.0.0.1:9"}}))

    code = inspect_artifact.main([str(artifact), *ASK])

    assert code == 1
    assert "'config' is not right" in capsys.readouterr().err


def test_no_folder_at_all_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main([])

    assert code == 1
    assert capsys.readouterr().err.startswith("Name the artifact's folder")


def test_a_folder_without_an_artifact_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code = inspect_artifact.main(["no/such/folder"])

    assert code == 1
    assert capsys.readouterr().err == "no/such/folder holds no metadata.json and no program.json.\n"


def test_a_damaged_program_is_one_sentence(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (artifact / "program.json").write_bytes(b"x")

    code = inspect_artifact.main([str(artifact)])

    assert code == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


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
