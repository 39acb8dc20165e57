"""Jobs to put into a store."""

import uuid_utils

from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import BestSoFar, JobStatus, NewJob, Outcome
from dspy_service.domain.spec import ColumnMapping, JobSpec, ModelSettings

OUTCOME = Outcome(
    status=JobStatus.SUCCESS,
    termination_reason="completed",
    message="done",
    result_path="jobs/1",
    has_artifact=True,
)
FAILED = Outcome(status=JobStatus.FAILED, termination_reason="error", message="the metric raised")
CANCELLED = Outcome(status=JobStatus.CANCELLED, termination_reason="cancelled", message="cancelled")


def a_spec(**changes: object) -> JobSpec:
    fields: dict[str, object] = {
        "signature_code": "class Route(dspy.Signature):\n    text = dspy.InputField()\n    team = dspy.OutputField()",
        "metric_code": "def metric(example, prediction, trace=None):\n    return example.team == prediction.team",
        "column_mapping": ColumnMapping(inputs={"text": "text"}, outputs={"team": "team"}),
        "optimizer_name": "miprov2",
        "lm": ModelSettings(name="demo/in-context"),
        "seed": 7,
    }
    return JobSpec.model_validate(fields | changes)


def a_new_job(
    *,
    job_id: str | None = None,
    key: str | None = None,
    body: str = "aa",
    spec: JobSpec | None = None,
    tenant: str = "local",
    dataset_path: str = "datasets/abc.json",
) -> NewJob:
    return NewJob(
        job_id=job_id or str(uuid_utils.uuid7()),
        tenant=tenant,
        spec=spec or a_spec(),
        dataset_rows=100,
        dataset_path=dataset_path,
        idempotency_key=key,
        body_sha256=body,
    )


def a_log(message: str) -> NewEvent:
    return NewEvent(type=EventType.LOG, data={"level": "INFO", "logger": "dspy", "message": message})


def a_best(job_id: str, *, fence: int = 1, score: float = 0.5) -> BestSoFar:
    return BestSoFar(score=score, path=f"{job_id}/{fence}/best-1", fence=fence)
