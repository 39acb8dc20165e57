"""Artifacts become files, and programs that answer."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import dspy
import httpx
import pytest
from dspy.utils import DummyLM

from dspy_service.client import ProgramLoadError, materialize_artifact
from tests.unit.client.service import ScriptedService


@pytest.fixture
def bundle(tmp_path: Path) -> dict[str, Any]:
    """What the service answers, made by plain DSPy."""
    program = dspy.Predict("question -> answer")
    program.demos = [dspy.Example(question="1+1", answer="2")]
    program.save(str(tmp_path / "saved"), save_program=True)
    return {
        "program_artifact_path": "artifacts/j1",
        "program_artifact": {
            "path": "artifacts/j1",
            "metadata": json.loads((tmp_path / "saved" / "metadata.json").read_text()),
            "program_pickle_base64": base64.b64encode((tmp_path / "saved" / "program.pkl").read_bytes()).decode(),
        },
    }


def answers(program: Any) -> str:  # noqa: ANN401  # a dspy.Module
    with dspy.context(lm=DummyLM([{"answer": "4"}]), adapter=dspy.ChatAdapter()):
        return str(program(question="2+2").answer)


def test_a_program_is_loaded_by_job_id_and_answers(bundle: dict[str, Any]) -> None:
    service = ScriptedService({"/jobs/j1/artifact": [httpx.Response(200, json=bundle)]})

    with service.client() as client:
        program = client.load_program("j1")

    assert answers(program) == "4"
    assert program.demos[0].answer == "2"


async def test_the_asynchronous_client_loads_too(bundle: dict[str, Any]) -> None:
    service = ScriptedService({"/jobs/j1/artifact": [httpx.Response(200, json=bundle)]})

    async with service.async_client() as client:
        program = await client.load_program("j1")

    assert answers(program) == "4"


def test_a_bundle_is_loaded_without_the_service_and_kept_where_asked(bundle: dict[str, Any], tmp_path: Path) -> None:
    with ScriptedService({}).client() as client:
        program = client.load_program(bundle, destination=tmp_path / "kept")

    assert answers(program) == "4"
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["metadata.json", "program.pkl"]


def test_the_inner_bundle_of_the_contract_is_taken(bundle: dict[str, Any], tmp_path: Path) -> None:
    inner = {key: bundle["program_artifact"][key] for key in ("metadata", "program_pickle_base64")}

    folder = materialize_artifact(inner, tmp_path / "deep" / "er")

    assert json.loads((folder / "metadata.json").read_text()) == inner["metadata"]
    assert (folder / "program.pkl").read_bytes() == base64.b64decode(inner["program_pickle_base64"])


@pytest.mark.parametrize(
    "broken", [{}, {"metadata": {}, "program_pickle_base64": "no base64!"}, {"program_artifact": None}]
)
def test_a_bundle_without_a_program_is_refused(broken: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ProgramLoadError):
        materialize_artifact(broken, tmp_path / "x")


def test_a_broken_pickle_is_said_clearly(bundle: dict[str, Any]) -> None:
    bundle["program_artifact"]["program_pickle_base64"] = base64.b64encode(b"nonsense").decode()

    with (
        ScriptedService({}).client() as client,
        pytest.raises(ProgramLoadError, match="cannot be loaded here"),
    ):
        client.load_program(bundle)


def test_loading_needs_dspy_here(bundle: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dspy", None)

    with ScriptedService({}).client() as client, pytest.raises(ProgramLoadError, match="needs dspy"):
        client.load_program(bundle)
