"""A confined program behind a serving worker as an operator starts it: streamed, and gone with the worker."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import dspy
import pytest

from dspy_service.adapters.folder_artifacts import FolderArtifactStore
from dspy_service.domain.artifact_paths import METADATA, PROGRAM_PICKLE, PROGRAM_STATE
from dspy_service.domain.serving.program import NewVersion
from dspy_service.domain.serving.run import RunStatus
from dspy_service.usecases.serving.version_files import write_version_files
from tests.support.faults.lifetimes import Lifetime, family_of, survivors
from tests.support.hosted import confined, on_server, pickled
from tests.support.openai_server import OpenAIServer, Reply
from tests.support.served_programs import a_field, an_interface
from tests.support.serving_stage import SECRET, ServingProcess, ServingStage, serving_stage, text_of
from tests.support.valkey import redis_url, valkey_server
from tests.support.waiting import until

__all__ = ["redis_url", "valkey_server"]

SOURCE = '''
import pydantic

class Person(pydantic.BaseModel):
    name: str

class Ask(dspy.Signature):
    """Answer."""

    person: Person = dspy.InputField()
    answer: str = dspy.OutputField()
'''
INTERFACE = an_interface(a_field("person", type_name="Person"), a_field("answer", "output"))
ANSWER = Reply(pieces=["[[ ## answer ## ]]\n", "I ", "know ", "Ada.", "\n\n[[ ## completed ## ]]"])
SECONDS = 150.0  # the machine may be busy with other tests


@pytest.fixture
async def stage(redis_url: str, tmp_path: Path) -> AsyncIterator[ServingStage]:
    settings = {"RUN_LEASE_SECONDS": "60", "STANDBY": "true", "HOST_IDLE_SECONDS": "300"}
    with OpenAIServer(lambda _body: ANSWER) as server:
        async with serving_stage(redis_url, tmp_path, **settings) as stage:
            changes = {"tenant": "local", "program": "qa", "artifact_folder": "programs/local/qa/1"}
            version = confined(INTERFACE, on_server(server), **changes)
            pickle = pickled(SOURCE, lambda module: dspy.Predict(module.Ask))
            files = {PROGRAM_STATE: b"{}", METADATA: b"{}", PROGRAM_PICKLE: pickle}
            artifacts = FolderArtifactStore(tmp_path / "artifacts")
            await write_version_files(version, files, artifacts=artifacts, secret_key=SECRET.encode())
            new = {name: value for name, value in dict(version).items() if name in NewVersion.model_fields}
            await stage.programs.add_version(NewVersion(**new))
            yield stage


def _hosts(worker: ServingProcess) -> list[Lifetime]:
    return [each for each in family_of(worker.process.pid) if "workers.host" in each.command]


async def test_a_confined_program_is_served_by_a_worker_and_ends_with_it(stage: ServingStage) -> None:
    worker = await stage.worker()
    assert _hosts(worker) == []

    run_id = await stage.ask(inputs={"person": {"name": "Ada"}})
    run = await stage.ended(run_id, seconds=SECONDS)
    hosts = _hosts(worker)
    for child in worker.children():
        child.send(signal.SIGKILL)

    assert run.status is RunStatus.COMPLETED, (run.error, worker.output)
    assert text_of(await stage.events(run_id)) == "I know Ada."
    assert hosts

    async def are_gone() -> bool:
        return survivors(hosts) == []

    await until(are_gone, seconds=30)
