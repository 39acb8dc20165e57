"""Jobs that ran and ended, as a service that is in use has them: made by the store's own verbs."""

from dataclasses import dataclass

import uuid_utils

from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import BestSoFar, Job, JobStatus, NewJob, Outcome
from dspy_service.domain.spec import JobSpec
from dspy_service.ports import JobStore

TENANT = "local"

SUCCESS = Outcome(
    status=JobStatus.SUCCESS, termination_reason="completed", message="done", has_artifact=True, result_path="jobs/1"
)
FAILED = Outcome(status=JobStatus.FAILED, termination_reason="error", message="KeyError: 'team' in metric, line 3")
CANCELLED = Outcome(status=JobStatus.CANCELLED, termination_reason="cancelled", message="cancelled")


@dataclass(frozen=True)
class SampleJob:
    """One kind of job."""

    optimizer: str
    team: str
    outcome: Outcome


def sample_jobs() -> list[SampleJob]:
    """Return one job of each kind; the first thirty make up the usual mixture of outcomes."""
    outcomes = [FAILED, CANCELLED, SUCCESS, *[SUCCESS] * 7]
    optimizers = ("miprov2", "gepa", "bootstrap_few_shot_random_search")
    return [
        SampleJob(optimizer, team=f"team-{number % 7}", outcome=outcomes[number % 10])
        for number, optimizer in enumerate(optimizers * 10)
    ]


async def a_finished_job(store: JobStore, kind: SampleJob, **metadata: str) -> Job:
    """Lead one job through its life by the store's own verbs."""
    job_id = str(uuid_utils.uuid7())
    await store.create(a_new_job(job_id, TENANT, kind.optimizer, {"team": kind.team, "run": "nightly", **metadata}))
    claim = await store.claim(job_id, owner="worker-1@host", lease_seconds=15, sandbox_level="L2")
    if claim is None:
        message = f"job {job_id} could not be claimed"
        raise ValueError(message)
    await store.advance(job_id, fence=claim.fence)
    line = NewEvent(type=EventType.LOG, data={"level": "INFO", "logger": "dspy", "message": "Bootstrapped 4 traces"})
    metrics: dict[str, object] = {"tqdm_n": 10, "tqdm_total": 10, "tqdm_percent": 100.0, "score": 0.8125}
    await store.append(job_id, fence=claim.fence, events=[line] * 20, latest_metrics=metrics, eta_seconds=9)
    best = BestSoFar(score=0.8125, path=f"{job_id}/{claim.fence}/best-3", fence=claim.fence)
    await store.keep_best(job_id, fence=claim.fence, best=best)
    outcome = kind.outcome
    if outcome.result_path is not None:
        outcome = outcome.model_copy(update={"result_path": f"{job_id}/{claim.fence}"})
    ended = await store.finish(job_id, fence=claim.fence, outcome=outcome)
    await store.settle(job_id, fence=ended.fence, archived_seq=ended.last_seq)
    return await store.get(job_id)


def a_new_job(job_id: str, tenant: str, optimizer: str, metadata: dict[str, str]) -> NewJob:
    """Return a job of ordinary size, ready to submit."""
    spec = {
        "signature_code": "class Route(dspy.Signature):\n    text = dspy.InputField()\n    team = dspy.OutputField()",
        "metric_code": "def metric(example, prediction, trace=None):\n    return example.team == prediction.team",
        "column_mapping": {"inputs": {"text": "text"}, "outputs": {"team": "team"}},
        "optimizer_name": optimizer,
        "optimizer_kwargs": {"auto": "light", "max_errors": 10},
        "lm": {"name": "demo/in-context"},
        "seed": 7,
        "metadata": metadata,
    }
    return NewJob(
        job_id=job_id,
        tenant=tenant,
        spec=JobSpec.model_validate(spec),
        dataset_rows=100,
        dataset_path=path_for(job_id),
        body_sha256="aa",
    )


def path_for(job_id: str) -> str:
    """Return a path as long as a real one; a dataset of its own for each job is the dearest case."""
    return f"datasets/{(job_id.replace('-', '') * 2)[:64]}.json"
