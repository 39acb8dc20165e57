"""A program that only its own code can rebuild is deployed with its pickle, which nobody looks into."""

from typing import Any

import pytest

from dspy_service.domain.catalogue.entries import Kwarg, ModuleEntry
from dspy_service.domain.errors import ArtifactCorruptError, InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.serving.errors import ProgramNotFoundError
from dspy_service.domain.serving.program import ChatMapping
from dspy_service.domain.spec import ModelSettings
from dspy_service.usecases.delete_job import delete_job
from dspy_service.usecases.serving.deploy_program import Upload
from dspy_service.usecases.serving.version_files import read_version_files
from tests.support.compiled_programs import ANSWER, QUESTION, compiled_files, ended_job, several_predictors
from tests.support.deploying import Stage, upload
from tests.support.signed import SECRET_KEY

DEMO = ModelSettings(name="demo/in-context")
OWN_TYPE = {**ANSWER, "type": "Details", "json_schema": {"type": "object"}}
AGENT = ModuleEntry(
    name="agent",
    factory="my_company.programs.Agent",
    also_known_as=("Agent",),
    kwargs={"rounds": Kwarg(kind="integer", minimum=1)},
)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def with_agent(stage: Stage) -> Stage:
    stage.rules.registry.register_module(AGENT)
    return stage


def agent(**changes: Any) -> Upload:  # noqa: ANN401  # JSON
    """A program of the operator's module: two predictors, one of them with fields that the signature has not."""
    whole = {"module_name": "Agent", "module_kwargs": {"rounds": 2}, **changes}
    return Upload(*several_predictors(compiled_files(module="cot", **whole)), b"a pickle")


async def test_a_job_with_types_of_its_own_is_served_confined(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files(QUESTION, OWN_TYPE))

    version = await stage.deploy(job_id)

    assert version.hosting == "confined"
    assert version.hosting_reason == "the type of its field 'answer', Details, is more than plain data"
    assert (version.job_id, version.lm, version.adapter) == (job_id, DEMO, "chat")
    assert version.interface.fields[1].json_schema == {"type": "object"}


async def test_its_pickle_is_signed_with_the_other_files_and_outlives_the_job(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files(QUESTION, OWN_TYPE))
    version = await stage.deploy(job_id)

    await delete_job(job_id, tenant="local", jobs=stage.jobs, artifacts=stage.artifacts)

    kept = await read_version_files(version, artifacts=stage.artifacts, secret_key=SECRET_KEY)
    assert set(kept) == {"program.json", "metadata.json", "program.pkl"}
    assert kept["program.pkl"] == b"x"


async def test_a_pickle_that_was_changed_behind_our_back_is_not_deployed(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files(QUESTION, OWN_TYPE))
    stage.artifacts.files[f"{job_id}/1/program.pkl"] += b" "

    with pytest.raises(ArtifactCorruptError, match=r"program\.pkl"):
        await stage.deploy(job_id)


async def test_an_upload_without_its_pickle_says_what_is_missing_and_leaves_nothing(stage: Stage) -> None:
    with pytest.raises(InvalidRequestError, match="'answer', Details, is more than plain data") as caught:
        await stage.deploy(upload(QUESTION, OWN_TYPE), lm=DEMO)

    assert [problem.field for problem in caught.value.problems] == ["program_pickle_base64"]
    assert stage.artifacts.files == {}
    with pytest.raises(ProgramNotFoundError):
        await stage.programs.program("local", "answers")


async def test_another_pickle_is_another_version(stage: Stage) -> None:
    first = await stage.deploy(upload(QUESTION, OWN_TYPE, pickle=b"one"), lm=DEMO)
    same, is_new = await stage.deploy_told(upload(QUESTION, OWN_TYPE, pickle=b"one"), lm=DEMO)
    other = await stage.deploy(upload(QUESTION, OWN_TYPE, pickle=b"two"), lm=DEMO)

    assert (same, is_new) == (first, False)
    assert (other.version, other.digest == first.digest) == (2, False)


async def test_a_module_of_the_operator_is_served_by_its_signature(with_agent: Stage) -> None:
    version = await with_agent.deploy(agent(), lm=DEMO)

    assert (version.hosting, version.module_name) == ("confined", "agent")
    assert version.hosting_reason == "its module 'agent' is the operator's own"
    assert version.module_kwargs == {"rounds": 2}
    assert [field.name for field in version.interface.fields] == ["question", "answer"]


async def test_a_module_that_is_not_registered_any_more_is_named(stage: Stage) -> None:
    files = agent()
    job_id = await ended_job(stage.jobs, stage.artifacts, (files.program, files.metadata))

    with pytest.raises(UnsupportedRequestError, match=r"module is not registered here .*'Agent'") as caught:
        await stage.deploy(job_id)

    assert caught.value.field == "job_id"


async def test_options_of_a_module_that_its_entry_has_no_more_do_not_matter_for_a_pickle(with_agent: Stage) -> None:
    version = await with_agent.deploy(agent(module_kwargs={"tools": "long gone"}), lm=DEMO)

    assert version.hosting == "confined"


async def test_a_secret_is_refused_for_a_pickle_too(with_agent: Stage) -> None:
    with pytest.raises(InvalidRequestError, match=r"module_kwargs\.note"):
        await with_agent.deploy(agent(module_kwargs={"note": "sk-" + "a1b2" * 8}), lm=DEMO)

    assert with_agent.artifacts.files == {}


async def test_several_predictors_keep_the_adapter_of_their_optimization(with_agent: Stage) -> None:
    by_default = await with_agent.deploy(agent(), lm=DEMO)
    asked = await with_agent.deploy(agent(), lm=DEMO, adapter="json")
    compiled_so = await with_agent.deploy(agent(adapter="XMLAdapter"), lm=DEMO)

    assert by_default.interface.is_single_text
    assert (by_default.adapter, asked.adapter, compiled_so.adapter) == ("chat", "json", "xml")
    with pytest.raises(UnsupportedRequestError, match="adapter: text needs"):
        await with_agent.deploy(agent(), lm=DEMO, adapter="text")


async def test_one_predictor_with_an_input_of_its_own_type_still_answers_without_markers(stage: Stage) -> None:
    version = await stage.deploy(upload({**QUESTION, "type": "Ticket"}, ANSWER, pickle=b"x"), lm=DEMO)

    assert (version.hosting, version.adapter) == ("confined", "text")


async def test_only_one_predictor_takes_more_instructions(with_agent: Stage) -> None:
    open_chat = ChatMapping(allow_system=True)

    version = await with_agent.deploy(upload(QUESTION, OWN_TYPE, pickle=b"x"), lm=DEMO, chat=open_chat)

    assert version.chat.allow_system
    with pytest.raises(UnsupportedRequestError, match=r"chat\.allow_system: needs") as caught:
        await with_agent.deploy(agent(), lm=DEMO, chat=open_chat)
    assert caught.value.field == "chat.allow_system"


async def test_files_that_do_not_belong_together_are_confined_and_never_rebuilt(stage: Stage) -> None:
    whole = several_predictors(compiled_files(module="cot"))

    version = await stage.deploy(Upload(*whole, b"x"), lm=DEMO)

    assert version.hosting == "confined"
    assert "other fields in `predictors`" in str(version.hosting_reason)
