"""Accepts a job: checks it, keeps its rows, records it."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import pydantic_core
import uuid_utils

from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.job import Job, NewJob
from dspy_service.domain.keys import LOCAL_TENANT
from dspy_service.domain.spec import Row, RunRequest
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.usecases.check_request import Rules, check_request

MAX_IDEMPOTENCY_KEY_LENGTH = 255
_SEEDS = 2**32


@dataclass(frozen=True)
class Submission:
    """One request to run a job, as it came in."""

    request: RunRequest
    body_sha256: str
    """Of the bytes that were received; tells a replay from a key that was used twice."""
    idempotency_key: str | None = None
    tenant: str = LOCAL_TENANT
    max_live_jobs: int = 0
    """Of the tenant, this one included; 0: any number."""


async def submit(
    submission: Submission,
    *,
    jobs: JobStore,
    datasets: ArtifactStore,
    rules: Rules,
    draw_seed: Callable[[], int] = lambda: secrets.randbelow(_SEEDS),
) -> tuple[Job, bool]:
    """Check everything, keep the rows, then record the job; the dispatcher rings the doorbell.

    The order matters: a refused request writes nothing, and a crash in between leaves unreferenced rows, which
    ``find_left_datasets`` finds; the other order would leave a job whose rows do not exist.

    Returns:
        The job, and whether it is new (False: the idempotency key replayed an earlier one).

    Raises:
        InvalidRequestError: the payload is malformed.
        UnsupportedRequestError: it asks for something that cannot be done as asked.
        IdempotencyKeyReusedError: the key was used with another body.
        QuotaExceededError: the tenant has ``max_live_jobs`` jobs that have not ended.
        SandboxUnavailableError: no live worker may run submitted code.
        StoreUnavailableError: it may be accepted or not; the same idempotency key tells.
    """
    _check_idempotency_key(submission.idempotency_key)
    request = submission.request
    checked = await check_request(request, rules)
    await rules.sandbox.require(jobs=jobs, minimum=rules.min_level)
    rows = encode_rows(request.dataset)
    path = dataset_path(submission.tenant, hashlib.sha256(rows).hexdigest())
    await datasets.put_new(path, rows)
    new = NewJob(
        job_id=str(uuid_utils.uuid7()),
        tenant=submission.tenant,
        spec=request.settle(checked.mapping, seed=draw_seed() if request.seed is None else request.seed),
        dataset_rows=len(request.dataset),
        dataset_path=path,
        idempotency_key=submission.idempotency_key,
        body_sha256=submission.body_sha256,
        max_live_jobs=submission.max_live_jobs,
        optimizer=checked.optimizer.name,
    )
    return await jobs.create(new)


def encode_rows(rows: list[Row]) -> bytes:
    """Return the rows as they stand in the artifact store: one JSON array."""
    return pydantic_core.to_json(rows)


def _check_idempotency_key(key: str | None) -> None:
    if key is None:
        return
    if not key or len(key) > MAX_IDEMPOTENCY_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        message = f"must be 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters"
        raise InvalidRequestError.of("Idempotency-Key", message)
