"""Takes the fairest waiting job, from its claim to its last place."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import Final

import pydantic_core

from dspy_service.domain.artifact_paths import dataset_path
from dspy_service.domain.errors import (
    ArtifactCorruptError,
    FileNotStoredError,
    LeaseLostError,
    ServiceError,
    StoreUnavailableError,
)
from dspy_service.domain.job import Claim, Job
from dspy_service.domain.spec import Row
from dspy_service.domain.supervision import BUG, Halt, Interrupted, NoRunnerError, Reins, RunReport
from dspy_service.ports import ArtifactStore, JobStore, Supervisor
from dspy_service.usecases.end_attempt import end_attempt
from dspy_service.usecases.keep_best import keeper_of_best
from dspy_service.usecases.keep_lease import LeaseKeeper
from dspy_service.usecases.patience import Patience
from dspy_service.usecases.settle_job import settle_job

_log: Final = logging.getLogger(__name__)


async def execute(
    *,
    owner: str,
    lease_seconds: float,
    heartbeat_seconds: float,
    tenant_running_jobs: int = 0,
    jobs: JobStore,
    artifacts: ArtifactStore,
    supervisor: Supervisor,
    secret_key: bytes,
    leaving: asyncio.Event | None = None,
    patience: Patience = Patience(),  # noqa: B008  # frozen
) -> None:
    """Claim whoever is next and see the job through; returns at once when nothing may be taken.

    The order of effects: claim (fence + 1, leased) → rows from the artifact store → the runner, whose events and model
    answers are appended as they happen → files into ``<job>/<fence>/`` → the fenced ``finish`` → the job is settled. A
    crash before ``finish`` leaves a job that another worker may take, and a folder that nobody reads; a crash after it
    leaves a job that any worker settles.

    An attempt that is halted (a pause, a worker that goes away) or cannot go on (a store is away for too long, no
    process starts on this machine) gives its job back without a loss. A job that fails is data and raises nothing here.
    Losing the lease is silent too: the job is another worker's.

    Args:
        owner: The worker's name, for people who look at the record.
        lease_seconds: How long the claim holds without a heartbeat.
        heartbeat_seconds: Between heartbeats.
        tenant_running_jobs: A tenant with so many running jobs is passed over; 0: any number.
        jobs: The records.
        artifacts: The rows, and where files go.
        supervisor: Runs submitted code.
        secret_key: Signs the files.
        leaving: Set when this worker is told to end; the job is handed back then.
        patience: How to wait for a store that is away.

    Raises:
        StoreUnavailableError: nothing could be claimed; whoever waits is rung for again.
    """
    leaving = leaving or asyncio.Event()
    if leaving.is_set():
        return
    claimed_at = asyncio.get_running_loop().time()
    claim = await _claim_next(
        jobs, owner=owner, lease_seconds=lease_seconds, level=supervisor.sandbox_level, at_most=tenant_running_jobs
    )
    if claim is None:
        _log.info("No job is there to be taken.")
        return
    reins = Reins()
    keeper = LeaseKeeper(
        claim,
        jobs,
        reins,
        lease_seconds=lease_seconds,
        heartbeat_seconds=heartbeat_seconds,
        certain_until=claimed_at + lease_seconds,
    )
    attempt = _Attempt(claim, jobs, artifacts, supervisor, secret_key, reins, keeper, patience)
    job = await attempt.run(leaving)
    if job is not None and job.status.is_terminal:
        await _settle(job.job_id, jobs, artifacts, secret_key)


async def _claim_next(jobs: JobStore, *, owner: str, lease_seconds: float, level: str, at_most: int) -> Claim | None:
    """Return the claim on the fairest waiting job; a race that is lost is run again, with whoever is next then."""
    refused = None
    while True:
        job_id = await jobs.next_job(tenant_running_jobs=at_most)
        if job_id is None or job_id == refused:
            return None
        claim = await jobs.claim(
            job_id, owner=owner, lease_seconds=lease_seconds, sandbox_level=level, tenant_running_jobs=at_most
        )
        if claim is not None:
            return claim
        refused = job_id


async def _settle(job_id: str, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes) -> None:
    try:
        await settle_job(job_id, jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    except ServiceError:
        _log.warning("What job %s left is put in its place later.", job_id, exc_info=True)


class _Attempt:
    """One claim, from its rows to the record's next state."""

    def __init__(
        self,
        claim: Claim,
        jobs: JobStore,
        artifacts: ArtifactStore,
        supervisor: Supervisor,
        secret_key: bytes,
        reins: Reins,
        keeper: LeaseKeeper,
        patience: Patience,
    ) -> None:
        self._claim = claim
        self._jobs = jobs
        self._artifacts = artifacts
        self._supervisor = supervisor
        self._secret_key = secret_key
        self._reins = reins
        self._keeper = keeper
        self._patience = patience

    async def run(self, leaving: asyncio.Event) -> Job | None:
        """Return the job as this attempt left it; None when it is another worker's."""
        job: Job | None = None
        is_silent = False
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keeper.run())
                listening = group.create_task(self._hand_back_when(leaving))
                job = await self._see_through()
                keeping.cancel()
                listening.cancel()
        except* LeaseLostError:
            _log.warning("Job %s is another worker's now; fence %d wrote no end.", self._job_id, self._claim.fence)
        except* StoreUnavailableError:
            is_silent = True
        return await self._release_after_silence() if is_silent else job

    @property
    def _job_id(self) -> str:
        return self._claim.job.job_id

    async def _hand_back_when(self, leaving: asyncio.Event) -> None:
        await leaving.wait()
        self._reins.halt(Halt.HAND_BACK)

    async def _see_through(self) -> Job:
        try:
            ending = await self._supervised()
            self._keeper.attempt_ended()
            if isinstance(ending, Interrupted):
                return await self._release()
            return await end_attempt(
                self._claim,
                ending,
                jobs=self._jobs,
                artifacts=self._artifacts,
                secret_key=self._secret_key,
                patience=self._patience,
                active_seconds=self._keeper.active_seconds,
                is_leaving=lambda: self._reins.why is Halt.HAND_BACK,
            )
        except NoRunnerError as error:
            return await self._try_again(f"The process for this job did not start; the job is tried again. {error}")
        except StoreUnavailableError as error:
            return await self._try_again(f"The {error.what} did not answer for too long; the job is tried again.")

    async def _supervised(self) -> RunReport | Interrupted:
        """Return how the attempt ended, whatever happened; only a lost lease and an absent store are raised."""
        try:
            rows = await self._rows()
            keep_best = keeper_of_best(
                self._claim, jobs=self._jobs, artifacts=self._artifacts, secret_key=self._secret_key
            )
            return await self._supervisor.run(
                self._claim, rows, jobs=self._jobs, reins=self._reins, keep_best=keep_best
            )
        except (LeaseLostError, NoRunnerError, StoreUnavailableError):
            raise
        except FileNotStoredError:
            return RunReport.failed("dataset_missing", "The rows of this job are no longer stored; submit it again.")
        except ServiceError as error:
            _log.exception("Job %s failed by a fault of the service.", self._job_id)
            return RunReport.failed(error.code, str(error))
        except Exception:  # noqa: BLE001  # outermost frame of a job: a bug of ours must still end it
            _log.exception("Job %s failed by a bug of the service.", self._job_id)
            return RunReport.failed(BUG.kind, BUG.message)

    async def _rows(self) -> Sequence[Row]:
        path = self._claim.job.dataset_path
        data = await self._patience.for_files(
            lambda: self._artifacts.get(path), is_over=lambda: self._reins.why is not None
        )
        # The record names what the rows were when it was made.
        if dataset_path(self._claim.job.tenant, hashlib.sha256(data).hexdigest()) != path:
            raise ArtifactCorruptError(path, "its content is not what its name says")
        rows: Sequence[Row] = pydantic_core.from_json(data)
        return rows

    async def _try_again(self, why: str) -> Job:
        """Give the job back after a moment. It waits behind the others, else it would go on to be tried before all."""
        self._keeper.attempt_ended()
        await self._pause()
        return await self._release(why, keeps_place=self._reins.why is Halt.HAND_BACK)

    async def _pause(self) -> None:
        """Let a store that refuses at once not make the job go round at once."""
        halted = asyncio.ensure_future(self._reins.halted())
        await asyncio.wait({halted}, timeout=self._patience.pause_seconds)
        halted.cancel()

    async def _release(self, message: str | None = None, *, keeps_place: bool = True) -> Job:
        """Give the job back without a loss; ``message`` is for the person who wonders why."""
        if message:
            _log.warning("Job %s is given back. %s", self._job_id, message)
        return await self._patience.for_jobs(
            lambda: self._jobs.release(
                self._job_id,
                fence=self._claim.fence,
                message=message,
                keeps_place=keeps_place,
                active_seconds=self._keeper.active_seconds,
            )
        )

    async def _release_after_silence(self) -> Job | None:
        """Give the job back as soon as the store answers: that its holder could not renew is no loss of a worker."""
        try:
            return await self._release("The job store did not answer for too long; the job is tried again.")
        except LeaseLostError:
            _log.warning("Job %s was taken over while the store was away.", self._job_id)
            return None
