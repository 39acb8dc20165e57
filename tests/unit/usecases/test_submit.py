"""Submitting keeps the rows before the record, and neither when something is wrong."""

from dataclasses import replace

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.catalogue.entries import OptimizerEntry
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.errors import InvalidRequestError, StoreUnavailableError, UnsupportedRequestError
from dspy_service.domain.job import Job, NewJob
from dspy_service.domain.models_policy import ModelPolicy
from dspy_service.domain.spec import JobLimits, RunRequest
from dspy_service.usecases.check_request import Rules
from dspy_service.usecases.submit import Submission, submit

REQUEST = RunRequest.model_validate(
    {
        "signature_code": "class S(dspy.Signature):\n    q: str = dspy.InputField()\n    a: str = dspy.OutputField()",
        "metric_code": "def metric(gold, pred): return 1.0",
        "dataset": [{"q": "1", "a": "2"}] * 10,
        "column_mapping": {"q": "q", "a": "a"},
        "optimizer_name": "labeled_few_shot",
        "model_config": {"name": "demo/in-context"},
    }
)


def rules(registry: Registry | None = None) -> Rules:
    return Rules(registry=registry or Registry(), policy=ModelPolicy(), max_rows=100)


class RefusingJobs(MemoryJobStore):
    """Lets nothing be recorded, and remembers what stood in the artifact store by then."""

    def __init__(self, artifacts: MemoryArtifactStore) -> None:
        super().__init__()
        self.artifacts = artifacts
        self.seen: list[str] = []

    async def create(self, _new: NewJob) -> tuple[Job, bool]:
        self.seen = list(self.artifacts.files)
        raise StoreUnavailableError("job store")


class RefusingArtifacts(MemoryArtifactStore):
    """Lets nothing be kept."""

    async def put_new(self, _path: str, _data: bytes) -> bool:
        raise StoreUnavailableError("artifact store")


async def test_the_rows_are_kept_before_the_job_is_recorded() -> None:
    artifacts = MemoryArtifactStore()
    jobs = RefusingJobs(artifacts)

    with pytest.raises(StoreUnavailableError):
        await submit(Submission(REQUEST, "digest"), jobs=jobs, datasets=artifacts, rules=rules())

    assert len(jobs.seen) == 1


async def test_no_job_is_recorded_when_its_rows_cannot_be_kept() -> None:
    jobs = MemoryJobStore()

    with pytest.raises(StoreUnavailableError):
        await submit(Submission(REQUEST, "digest"), jobs=jobs, datasets=RefusingArtifacts(), rules=rules())

    assert jobs._records == {}


async def test_the_drawn_seed_is_recorded() -> None:
    job, is_new = await submit(
        Submission(REQUEST, "digest", tenant="acme"),
        jobs=MemoryJobStore(),
        datasets=MemoryArtifactStore(),
        rules=rules(),
        draw_seed=lambda: 42,
    )

    assert (job.seed, job.tenant, is_new) == (42, "acme", True)


async def test_an_optimizer_that_needs_a_valset_gets_one_or_none_is_queued() -> None:
    registry = Registry()
    registry.register_optimizer(OptimizerEntry(name="mine", factory="acme.Mine", needs_valset=True))
    fractions = {"train": 0.9, "val": 0.0, "test": 0.1}
    request = RunRequest.model_validate(
        {**REQUEST.model_dump(), "optimizer_name": "mine", "split_fractions": fractions}
    )
    jobs = MemoryJobStore()

    with pytest.raises(InvalidRequestError, match=r"split_fractions\.val: leaves no validation row of 10, and mine"):
        await submit(Submission(request, "digest"), jobs=jobs, datasets=MemoryArtifactStore(), rules=rules(registry))

    assert jobs._records == {}


@pytest.mark.parametrize(
    "limits",
    [
        {"memory_bytes": 2**30 + 1},
        {"threads": 65},
        {"max_seconds": 60.5},
        {"cpu_seconds": 31.0},
        {"stall_seconds": 11.0},
    ],
)
async def test_a_limit_above_the_operators_is_refused_by_name(limits: dict[str, object]) -> None:
    allowed = JobLimits(max_seconds=60, cpu_seconds=30, memory_bytes=2**30, threads=64, stall_seconds=10)
    request = REQUEST.model_copy(update={"limits": JobLimits.model_validate(limits)})
    [name] = limits
    jobs, artifacts = MemoryJobStore(), MemoryArtifactStore()

    with pytest.raises(UnsupportedRequestError, match="more than the") as caught:
        await submit(Submission(request, "aa"), jobs=jobs, datasets=artifacts, rules=replace(rules(), limits=allowed))

    assert caught.value.field == f"limits.{name}"
    assert artifacts.files == {}


async def test_lower_limits_are_kept_with_the_job() -> None:
    limits = JobLimits(max_seconds=60, threads=64)
    request = REQUEST.model_copy(update={"limits": limits})
    jobs = MemoryJobStore()

    job, _ = await submit(
        Submission(request, "aa"),
        jobs=jobs,
        datasets=MemoryArtifactStore(),
        rules=replace(rules(), limits=JobLimits(max_seconds=60, threads=64)),
    )

    claim = await jobs.claim(job.job_id, owner="w", lease_seconds=9, sandbox_level="L1")
    assert claim is not None
    assert claim.spec.limits == limits
