"""Programs as a serving process has them, without a store: versions, runs, and the producer that carries them out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dspy

from dspy_service.domain.serving.errors import ProgramNotFoundError
from dspy_service.domain.serving.interface import ProgramInterface
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.program_description import describe_program
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import RunFact
from dspy_service.domain.spec import ModelSettings
from dspy_service.ports import CallThrottle, ResponseCache
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.runner.artifact import metadata, signature_data, state_json
from workers.serving.answer_cache import AnswerCache
from workers.serving.engine import StreamLimits
from workers.serving.models import ServedModels
from workers.serving.plain_programs import PlainPrograms
from workers.serving.produce import Producer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEMO = ModelSettings(name="demo/in-context")


def interface_of(program: dspy.Module) -> ProgramInterface:
    """Describe a program of one predictor as a deploy reads it from a job's files."""
    return describe_program(state_json(program), metadata_of(program)).interface


def metadata_of(program: dspy.Module) -> bytes:
    """Return the ``metadata.json`` of a program of one predictor, as a job's runner writes it."""
    ((name, predictor),) = program.named_predictors()
    signature = predictor.signature
    is_reasoned = isinstance(program, dspy.ChainOfThought)
    facts = {
        "module_name": "cot" if is_reasoned else "predict",
        "signature": signature_data(signature.delete("reasoning") if is_reasoned else signature),
        "predictors": {name: list(signature.fields)},
        "adapter": "ChatAdapter",
    }
    return metadata(facts)


def version_of(program: dspy.Module, lm: ModelSettings = DEMO, **changes: Any) -> ProgramVersion:  # noqa: ANN401  # fields
    """Deploy a program of one predictor, whatever it says of itself."""
    return ProgramVersion(
        **{
            "tenant": "acme",
            "program": "answers",
            "artifact_folder": "programs/acme/answers/1",
            "digest": "0" * 64,
            "module_name": "cot" if isinstance(program, dspy.ChainOfThought) else "predict",
            "interface": interface_of(program),
            "hosting": "plain",
            "lm": lm,
            "version": 1,
            "created_at": NOW,
            **changes,
        }
    )


def run_of(version: ProgramVersion, **fields: Any) -> Run:  # noqa: ANN401  # fields of a run
    """Start a run of a version, as a worker has claimed it."""
    inputs = {"question": "What is the capital of France?"}
    known = {"run_id": "run_1", "inputs": inputs, "created_at": NOW, **fields}
    return Run(**{"tenant": version.tenant, "program": version.program, "version": version.version, **known})


class OneVersion:
    """A store of programs that knows one version."""

    def __init__(self, version: ProgramVersion) -> None:
        self._version = version

    async def version(self, tenant: str, name: str, version: int) -> ProgramVersion:
        if (tenant, name, version) != (self._version.tenant, self._version.program, self._version.version):
            raise ProgramNotFoundError(name)
        return self._version


def producer_of(
    program: dspy.Module,
    version: ProgramVersion,
    *,
    cache: ResponseCache | None = None,
    limits: StreamLimits | None = None,
    throttle: CallThrottle | None = None,
) -> Producer:
    """Return what carries out runs of a version, over a program whose state stands nowhere else."""

    async def read_state(_version: ProgramVersion) -> bytes:
        return state_json(program)

    registry = ModelRegistry(read_provider_environment({}))
    return Producer(
        store=OneVersion(version),
        programs=PlainPrograms(read_state),
        models=ServedModels(registry, limits or StreamLimits(), throttle=throttle),
        cache=None if cache is None else AnswerCache(cache),
    )


async def produced(producer: Producer, run: Run) -> list[RunFact]:
    """Carry a run out and return everything it did."""
    return [fact async for facts in producer.produce(run) for fact in facts]


def texts(facts: Sequence[RunFact]) -> dict[str, str]:
    """Return what a reader of these facts has of each field."""
    found: dict[str, str] = {}
    for fact in facts:
        if fact.type == "replace":
            found[fact.field] = fact.text
        elif fact.type in {"token", "reasoning"}:
            assert fact.offset == len(found.get(fact.field, ""))
            found[fact.field] = found.get(fact.field, "") + fact.text
    return found


def kinds(facts: Sequence[RunFact]) -> list[str]:
    """Return the types of facts, equal ones that follow each other once."""
    found: list[str] = []
    for fact in facts:
        if found[-1:] != [fact.type]:
            found.append(fact.type)
    return found
