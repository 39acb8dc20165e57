"""Programs that only their code can rebuild, from a real optimization to what a deployment shows of them."""

from functools import cache
from typing import Any

import pytest
from pydantic import JsonValue

from dspy_service.api.program_document import program_document
from dspy_service.domain.artifact_paths import PROGRAM_FILES
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.serving.inputs import check_inputs
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.usecases.serving.version_files import read_version_files
from tests.integration.runner.session import METRIC, Report, body, run_job
from tests.support.compiled_programs import ended_job
from tests.support.deploying import Stage
from tests.support.own_programs import PLANNER
from tests.support.signed import SECRET_KEY

SIGNATURE = '''
from pydantic import BaseModel, model_validator


class Ticket(BaseModel):
    """What a customer wrote; a text alone will do."""

    words: str
    answers: list["Ticket"] = []

    @model_validator(mode="before")
    @classmethod
    def of_text(cls, value):
        return {"words": value} if isinstance(value, str) else value


class Details(BaseModel):
    urgency: int
    tags: list[str] = []


class Route(dspy.Signature):
    """Route the ticket."""

    text: Ticket = dspy.InputField(desc="the ticket")
    label: Literal["billing", "tech"] = dspy.OutputField()
    details: Optional[Details] = dspy.OutputField()
'''


@cache
def _optimized(module: str, *, is_typed: bool) -> Report:
    signature = {"signature_code": SIGNATURE} if is_typed else {}
    spec = body("labeled_few_shot", module_name=module, metric_code=METRIC, **signature)
    return run_job(spec, modules=[PLANNER])


async def _deployed(report: Report, stage: Stage, **changes: Any) -> ProgramVersion:  # noqa: ANN401  # of a deployment
    files = report.file("program.json"), report.file("metadata.json")
    job_id = await ended_job(stage.jobs, stage.artifacts, files, pickle=report.file("program.pkl"))
    return await stage.deploy(job_id, **changes)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.rules.registry.register_module(PLANNER)
    return stage


async def test_types_of_the_submitter_are_served_confined_and_say_what_they_are(stage: Stage) -> None:
    version = await _deployed(_optimized("predict", is_typed=True), stage)

    schemas = program_document("answers", version)["components"]["schemas"]
    assert (version.hosting, version.adapter) == ("confined", "chat")
    assert schemas["Inputs"]["properties"]["text"] == {
        "$ref": "#/components/schemas/text.Ticket",
        "description": "the ticket",
    }
    assert schemas["text.Ticket"]["properties"]["answers"]["items"] == {"$ref": "#/components/schemas/text.Ticket"}
    assert schemas["details.Details"]["required"] == ["urgency"]
    assert schemas["Prediction"]["properties"]["label"] == {"enum": ["billing", "tech"]}


async def test_inputs_are_checked_as_far_as_the_type_tells(stage: Stage) -> None:
    version = await _deployed(_optimized("predict", is_typed=True), stage)

    taken: list[JsonValue] = ["Lost.", {"words": "Lost."}, {"words": "", "answers": ["Where?", {"words": "Here."}]}]
    for honest in taken:
        assert check_inputs(version.interface, {"text": honest}) == {"text": honest}
    with pytest.raises(InvalidRequestError, match=r"text\.answers\.0\.words: is required"):
        check_inputs(version.interface, {"text": {"words": "Lost.", "answers": [{}]}})


async def test_a_module_of_the_operator_is_served_with_all_its_predictors(stage: Stage) -> None:
    version = await _deployed(_optimized("planner", is_typed=False), stage)

    assert (version.hosting, version.module_name) == ("confined", "planner")
    assert [(field.name, field.side) for field in version.interface.fields] == [("text", "input"), ("label", "output")]
    assert version.interface.instructions == "Route the ticket."


@pytest.mark.parametrize(("module", "is_typed"), [("predict", True), ("planner", False)], ids=["types", "module"])
async def test_its_pickle_goes_where_the_version_is(module: str, is_typed: bool, stage: Stage) -> None:  # noqa: FBT001  # a parameter of the test
    report = _optimized(module, is_typed=is_typed)

    version = await _deployed(report, stage)

    kept = await read_version_files(version, artifacts=stage.artifacts, secret_key=SECRET_KEY)
    assert kept == {name: report.file(name) for name in PROGRAM_FILES}
