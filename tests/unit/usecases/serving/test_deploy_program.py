"""A version is made of a job's program or of uploaded files, checked as data, with files of its own."""

import pytest

from dspy_service.domain.errors import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobNotFinishedError,
    JobNotFoundError,
    UnsupportedRequestError,
)
from dspy_service.domain.job import JobStatus
from dspy_service.domain.serving.program import ChatMapping
from dspy_service.domain.spec import ModelSettings
from dspy_service.usecases.delete_job import delete_job
from dspy_service.usecases.serving.deploy_program import Upload
from dspy_service.usecases.serving.version_files import read_version_files
from dspy_service.usecases.settle_job import settle_job
from tests.support.compiled_programs import ANSWER, QUESTION, compiled_files, ended_job
from tests.support.deploying import Stage, upload
from tests.support.job_samples import a_new_job
from tests.support.signed import SECRET_KEY

DEMO = ModelSettings(name="demo/in-context")
ELSEWHERE = ModelSettings(name="openai/gpt-4o-mini", base_url="https://evil.example/v1")


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_job_is_served_with_its_own_model_adapter_and_scores(stage: Stage) -> None:
    task = ModelSettings(name="demo/in-context?seed=3", temperature=0.5)
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files(module="cot"), task_lm=task)

    version = await stage.deploy(job_id)

    assert (version.job_id, version.lm, version.adapter) == (job_id, task, "chat")
    assert (version.module_name, version.hosting, version.optimizer_name) == ("cot", "plain", "miprov2")
    assert (version.baseline_score, version.optimized_score) == (0.25, 0.75)
    assert version.interface.instructions == "Answer well."


async def test_what_the_request_says_goes_first(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files())
    chat = ChatMapping(question="question", answer="answer")

    version = await stage.deploy(job_id, lm=DEMO, adapter="json", chat=chat, metadata={"team": "a"})

    assert (version.lm, version.adapter, version.chat, version.metadata) == (DEMO, "json", chat, {"team": "a"})


async def test_a_program_of_one_text_answers_without_markers_unless_that_is_asked_for(stage: Stage) -> None:
    by_default = await stage.deploy(upload(), lm=DEMO)
    asked = await stage.deploy(upload(), lm=DEMO, adapter="chat")
    compiled_so = await stage.deploy(upload(adapter="JSONAdapter"), lm=DEMO)

    assert (by_default.adapter, asked.adapter, compiled_so.adapter) == ("text", "chat", "json")


async def test_a_program_with_more_to_say_than_a_text_needs_markers(stage: Stage) -> None:
    with pytest.raises(UnsupportedRequestError, match="only output is a str"):
        await stage.deploy(upload(module="cot"), lm=DEMO, adapter="text")


async def test_a_job_that_was_stopped_with_a_program_is_served(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files(), status=JobStatus.CANCELLED)

    assert (await stage.deploy(job_id)).version == 1


async def test_a_version_outlives_its_job(stage: Stage) -> None:
    files = compiled_files()
    job_id = await ended_job(stage.jobs, stage.artifacts, files)
    version = await stage.deploy(job_id)
    await settle_job(job_id, jobs=stage.jobs, artifacts=stage.artifacts, secret_key=SECRET_KEY)

    await delete_job(job_id, tenant="local", jobs=stage.jobs, artifacts=stage.artifacts)

    kept = await read_version_files(version, artifacts=stage.artifacts, secret_key=SECRET_KEY)
    assert (kept["program.json"], kept["metadata.json"]) == files


async def test_a_settled_job_still_knows_its_model(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files())
    await settle_job(job_id, jobs=stage.jobs, artifacts=stage.artifacts, secret_key=SECRET_KEY)

    assert (await stage.deploy(job_id)).lm == DEMO


async def test_the_pickle_is_left_behind_where_data_is_enough(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files())

    versions = [await stage.deploy(job_id), await stage.deploy(upload(pickle=b"x", module="cot"), lm=DEMO)]

    for version in versions:
        assert (version.hosting, version.hosting_reason) == ("plain", None)
        assert stage.names_of(version) == {"program.json", "metadata.json", "manifest.json"}


async def test_equal_deployments_are_one_version_and_others_are_not(stage: Stage) -> None:
    first, is_new = await stage.deploy_told(upload(), lm=DEMO)

    same, same_is_new = await stage.deploy_told(upload(), lm=DEMO)
    others = [
        await stage.deploy(upload(), **{"lm": DEMO, **change})
        for change in (
            {"adapter": "xml"},
            {"metadata": {"a": "b"}},
            {"lm": ModelSettings(name="demo/in-context?seed=1")},
        )
    ]

    assert (first, is_new, same_is_new) == (same, True, False)
    assert [version.version for version in others] == [2, 3, 4]
    assert len({version.digest for version in (first, *others)}) == 4


async def test_an_idempotency_key_is_good_for_one_version(stage: Stage) -> None:
    first = await stage.deploy(upload(), lm=DEMO, idempotency_key="k")
    await stage.deploy(upload(), lm=DEMO, adapter="xml")

    again, is_new = await stage.deploy_told(upload(), lm=DEMO, idempotency_key="k")

    assert (again, is_new) == (first, False)
    with pytest.raises(IdempotencyKeyReusedError):
        await stage.deploy(upload(), lm=DEMO, adapter="json", idempotency_key="k")


async def test_a_job_without_a_program_is_not_served(stage: Stage) -> None:
    waiting, _ = await stage.jobs.create(a_new_job())
    failed = await ended_job(stage.jobs, stage.artifacts, None, status=JobStatus.CANCELLED)

    with pytest.raises(JobNotFinishedError):
        await stage.deploy(waiting.job_id)
    with pytest.raises(ArtifactNotFoundError):
        await stage.deploy(failed)


async def test_a_foreign_job_is_unknown(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files(), tenant="acme")

    with pytest.raises(JobNotFoundError):
        await stage.deploy(job_id)


@pytest.mark.parametrize("damage", ["changed", "missing"])
async def test_a_file_that_the_service_did_not_write_is_never_served(damage: str, stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files())
    if damage == "changed":
        stage.artifacts.files[f"{job_id}/1/program.json"] += b" "
    else:
        del stage.artifacts.files[f"{job_id}/1/program.json"]

    with pytest.raises(ArtifactCorruptError):
        await stage.deploy(job_id)


async def test_an_archive_that_is_gone_is_named(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, compiled_files())
    await settle_job(job_id, jobs=stage.jobs, artifacts=stage.artifacts, secret_key=SECRET_KEY)
    for path in [path for path in stage.artifacts.files if path.endswith(("spec.json", "events.manifest.json"))]:
        del stage.artifacts.files[path]

    with pytest.raises(ArtifactCorruptError, match=r"spec\.json"):
        await stage.deploy(job_id)


@pytest.mark.parametrize(
    ("changes", "error", "field_name"),
    [
        ({"lm": None}, InvalidRequestError, "model_config"),
        ({"lm": ELSEWHERE}, UnsupportedRequestError, "model_config.base_url"),
        ({"lm": ModelSettings(name="nonsense")}, UnsupportedRequestError, "model_config.name"),
        (
            {"lm": ModelSettings(name="openai/x", extra={"api_base": "x"})},
            UnsupportedRequestError,
            "model_config.extra",
        ),
        ({"metadata": {"note": "sk-" + "a1b2" * 8}}, InvalidRequestError, "metadata.note"),
        ({"chat": ChatMapping(question="answer")}, InvalidRequestError, "chat.question"),
        ({"chat": ChatMapping(answer="question")}, InvalidRequestError, "chat.answer"),
        ({"chat": ChatMapping(history="question")}, InvalidRequestError, "chat.history"),
    ],
)
async def test_what_cannot_be_served_so_names_its_field(
    changes: dict[str, object], error: type[Exception], field_name: str, stage: Stage
) -> None:
    with pytest.raises(error, match=field_name):
        await stage.deploy(upload(), **{"lm": DEMO, **changes})

    assert stage.artifacts.files == {}


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        (Upload(b"[]", compiled_files()[1]), InvalidRequestError, "program: program.json must be an object"),
        (Upload(compiled_files()[0], b"{}"), InvalidRequestError, "program_metadata: metadata.json must name"),
        (upload(module_kwargs={"api_base": "http://evil.example"}), UnsupportedRequestError, "api_base"),
        (upload(module_kwargs={"colour": 1}), UnsupportedRequestError, "colour"),
        (upload(module_name="agent"), UnsupportedRequestError, "program_metadata: the program's module .* 'agent'"),
        (upload({**QUESTION, "name": "config", "type": "dict"}, ANSWER), InvalidRequestError, "DSPy needs for itself"),
    ],
)
async def test_a_hostile_upload_is_refused(files: Upload, error: type[Exception], words: str, stage: Stage) -> None:
    with pytest.raises(error, match=words):
        await stage.deploy(files, lm=DEMO)

    assert stage.artifacts.files == {}


async def test_a_job_whose_program_is_not_in_order_is_refused_by_name(stage: Stage) -> None:
    job_id = await ended_job(stage.jobs, stage.artifacts, (b"[]", compiled_files()[1]))

    with pytest.raises(UnsupportedRequestError, match="job_id: the program of this job cannot be served"):
        await stage.deploy(job_id)
