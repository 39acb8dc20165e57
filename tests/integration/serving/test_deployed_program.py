"""A program from its optimization to its first answer: what a deploy wrote is what a serving worker runs."""

import dspy

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore, MemoryProgramStore
from dspy_service.domain.artifact_paths import PROGRAM_STATE, file_in
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.models_policy import ModelPolicy
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run_events import Failed, Predicted
from dspy_service.usecases.check_request import Rules
from dspy_service.usecases.serving.deploy_program import Deployment, Upload, deploy_program
from dspy_service.usecases.serving.version_files import read_version_files
from tests.support.served import DEMO, metadata_of, produced, run_of, texts
from tests.support.signed import SECRET_KEY
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.runner.artifact import state_json
from workers.serving.engine import StreamLimits
from workers.serving.models import ServedModels
from workers.serving.plain_programs import PlainPrograms
from workers.serving.produce import Producer


class House:
    """A service in memory, with a serving worker's producer."""

    def __init__(self) -> None:
        self.programs = MemoryProgramStore()
        self.artifacts = MemoryArtifactStore()

    async def deploy(self, program: dspy.Module) -> ProgramVersion:
        files = Upload(state_json(program), metadata_of(program))
        version, _ = await deploy_program(
            Deployment(tenant="acme", program="answers", source=files, lm=DEMO),
            programs=self.programs,
            jobs=MemoryJobStore(),
            artifacts=self.artifacts,
            rules=Rules(registry=Registry(), policy=ModelPolicy(), max_rows=100),
            secret_key=SECRET_KEY,
        )
        return version

    def producer(self) -> Producer:
        async def read(version: ProgramVersion) -> bytes:
            files = await read_version_files(version, artifacts=self.artifacts, secret_key=SECRET_KEY)
            return files[PROGRAM_STATE]

        models = ServedModels(ModelRegistry(read_provider_environment({})), StreamLimits())
        return Producer(store=self.programs, programs=PlainPrograms(read), models=models)


def _taught(module: type[dspy.Module]) -> dspy.Module:
    program = module("question -> answer")
    demos = [{"question": "Who wrote Emma?", "answer": "Jane Austen wrote it."}]
    program.predictors()[0].demos = [dspy.Example(**demo, reasoning="I read it.") for demo in demos]
    return program


async def test_a_deployed_program_answers_from_what_it_learned() -> None:
    house = House()
    version = await house.deploy(_taught(dspy.Predict))

    facts = await produced(house.producer(), run_of(version, inputs={"question": "Who wrote Emma?"}))

    assert version.adapter == "text"
    assert isinstance(facts[-1], Predicted)
    assert facts[-1].answer == "Jane Austen wrote it."
    assert texts(facts) == {"answer": "Jane Austen wrote it."}


async def test_versions_of_one_program_answer_each_in_its_own_way() -> None:
    house = House()
    first = await house.deploy(dspy.ChainOfThought("question -> answer"))
    second = await house.deploy(_taught(dspy.ChainOfThought))
    producer = house.producer()

    asked = {"question": "Who wrote Emma?"}
    answers = [(await produced(producer, run_of(version, inputs=asked)))[-1].answer for version in (first, second)]

    assert (first.version, second.version) == (1, 2)
    assert "Austen" not in answers[0]
    assert answers[1] == "Jane Austen wrote it."


async def test_a_file_that_was_changed_behind_our_back_is_not_run() -> None:
    house = House()
    version = await house.deploy(_taught(dspy.Predict))
    place = file_in(version.artifact_folder, PROGRAM_STATE)
    await house.artifacts.put(place, (await house.artifacts.get(place)).replace(b"Austen", b"Eyre.."))

    facts = await produced(house.producer(), run_of(version))

    assert isinstance(facts[-1], Failed)
    assert (facts[-1].error.code, facts[-1].partial) == ("internal", False)
