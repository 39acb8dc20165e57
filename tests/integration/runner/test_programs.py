"""The artifact: it loads where only DSPy is installed, and answers."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from dspy_service.domain.program_state import check_program_state, recorded_fields
from dspy_service.domain.serving.program_description import describe_program
from tests.integration.runner.session import Report, body, run_job

TYPED_SIGNATURE = '''
from __future__ import annotations

from pydantic import BaseModel


class Details(BaseModel):
    """What else the ticket says."""

    urgency: int
    tags: list[str] = []


class Route(dspy.Signature):
    """Route the ticket."""

    text: str = dspy.InputField(desc="the ticket")
    label: Literal["billing", "tech"] = dspy.OutputField()
    details: Optional[Details] = dspy.OutputField()
'''

TYPED_METRIC = """
from __future__ import annotations

def metric(gold: dspy.Example, pred: dspy.Prediction, trace: Any = None) -> float:
    return float(gold.label == pred.label and pred.details.urgency >= 0)
"""

LOADER = """
import importlib.abc, json, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("workers", "dspy_service", "submitted_signature", "submitted_metric", "tests"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuse())
import dspy

class Engine:
    def complete(self, request):
        from dspy.lm15 import response_from_openai_chat
        text = (
            "[[ ## reasoning ## ]]\\nr\\n\\n[[ ## label ## ]]\\ntech\\n\\n"
            '[[ ## details ## ]]\\n{"urgency": 2, "tags": []}\\n\\n[[ ## completed ## ]]'
        )
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return response_from_openai_chat(body, model="openai/m")

program = dspy.load(sys.argv[1], allow_pickle=True)
with dspy.context(lm=dspy.LM("openai/m", engine=Engine(), cache=False)):
    answer = program(text="help")
fields = program.predictors()[0].signature.output_fields
print(json.dumps({
    "label": answer.label,
    "urgency": answer.details.urgency,
    "type": str(fields["label"].annotation),
    "demos": len(program.predictors()[0].demos),
    "lm": program.predictors()[0].lm,
}))
"""


@cache
def _typed() -> Report:
    spec = body(
        "miprov2",
        module_name="cot",
        signature_code=TYPED_SIGNATURE,
        metric_code=TYPED_METRIC,
        column_mapping={"inputs": {"text": "body"}, "outputs": {"label": "team"}},
        optimizer_kwargs={"seed": 3},
    )
    return run_job(spec)


def test_a_typed_signature_with_postponed_annotations_is_optimized() -> None:
    result = _typed().result

    assert result["details"]["metric_errors"] == 0
    assert result["optimized_test_metric"] >= result["baseline_test_metric"]


def test_the_pickle_loads_and_answers_with_nothing_but_dspy(tmp_path: Path) -> None:
    for name in ("program.pkl", "metadata.json"):
        (tmp_path / name).write_bytes(_typed().file(name))

    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", LOADER, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "mismatch" not in done.stderr
    answer = json.loads(done.stdout)
    assert (answer["label"], answer["urgency"], answer["lm"]) == ("tech", 2, None)
    assert answer["type"] == "typing.Literal['billing', 'tech']"


def test_the_pickle_holds_the_program_and_not_the_search() -> None:
    data = _typed().file("program.pkl")

    assert len(data) < 30_000
    for word in (b"trial_logs", b"candidate_programs", b"workers.runner", b"dspy_service", b"BrokerLM"):
        assert word not in data


def test_the_metadata_says_what_the_program_is() -> None:
    metadata = json.loads(_typed().file("metadata.json"))

    assert set(metadata["dependency_versions"]) == {"python", "dspy", "cloudpickle"}
    assert metadata["adapter"] == "ChatAdapter"
    assert metadata["models"]["task"] == "openai/scripted"
    assert metadata["seed"] == 7
    assert metadata["split"] == {"train": 8, "val": 6, "test": 6}
    assert metadata["signature"]["fields"] == [
        {"name": "text", "side": "input", "type": "str", "desc": "the ticket"},
        {"name": "label", "side": "output", "type": "Literal['billing', 'tech']", "desc": "${label}"},
        {
            "name": "details",
            "side": "output",
            "type": "Optional[Details]",
            "desc": "${details}",
            "json_schema": {
                "$defs": {
                    "Details": {
                        "description": "What else the ticket says.",
                        "properties": {
                            "urgency": {"title": "Urgency", "type": "integer"},
                            "tags": {"default": [], "items": {"type": "string"}, "title": "Tags", "type": "array"},
                        },
                        "required": ["urgency"],
                        "title": "Details",
                        "type": "object",
                    }
                },
                "anyOf": [{"$ref": "#/$defs/Details"}, {"type": "null"}],
            },
        },
    ]


@pytest.mark.parametrize("name", ["program.json", "metadata.json"])
def test_a_json_file_is_strict_json(name: str) -> None:
    def refuse(word: str) -> None:
        pytest.fail(f"{name} holds {word}")

    assert json.loads(_typed().file(name), parse_constant=refuse)


@pytest.mark.parametrize("module", ["typed", "predict", "cot"])
def test_the_state_of_an_honest_program_may_be_stored(module: str) -> None:
    report = _typed() if module == "typed" else run_job(body("bootstrap_few_shot", module_name=module))
    fields = recorded_fields(json.loads(report.file("metadata.json")))

    state = check_program_state(report.file("program.json"), fields)

    expected = {"predict": {"self": ["text", "label"]}, "cot": {"predict": ["text", "reasoning", "label"]}}
    assert state
    assert fields == expected.get(module, fields)


def test_what_is_served_of_a_program_is_read_from_its_files() -> None:
    found = describe_program(_typed().file("program.json"), _typed().file("metadata.json"))

    assert [(field.name, field.type_name, field.description) for field in found.interface.fields] == [
        ("text", "str", "the ticket"),
        ("reasoning", "str", None),
        ("label", "Literal['billing', 'tech']", None),
        ("details", "Optional[Details]", None),
    ]
    assert "'details'" in str(found.why_not_plain("cot"))
