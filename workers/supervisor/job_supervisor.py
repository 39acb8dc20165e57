"""Runs an attempt of a job in a confined runner: the ``Supervisor`` port of the worker."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from dspy_service.domain.errors import ModelCallError, ProtocolError, UnsupportedRequestError
from dspy_service.domain.job import Claim
from dspy_service.domain.spec import Row
from dspy_service.domain.supervision import Halt, Interrupted, KeepBest, NoRunnerError, Reins, RunReport
from dspy_service.domain.workers import SandboxLevel
from dspy_service.ports import ArtifactStore, JobStore
from workers.sandbox.launch import Child
from workers.supervisor.attempt import Attempt
from workers.supervisor.best_keeper import BestKeeper
from workers.supervisor.door import Catalogue, ModelDoor, ModelDoors
from workers.supervisor.earlier_attempts import time_budget
from workers.supervisor.feed import EventFeed
from workers.supervisor.limits import SupervisionLimits
from workers.supervisor.opening import rows_frames, spec_frame
from workers.supervisor.report import interrupted, report
from workers.supervisor.session import RunnerNotReadyError, Session
from workers.supervisor.standby import Standby
from workers.supervisor.steering import unless_halted

if TYPE_CHECKING:
    from dspy_service.ports import Supervisor

_log: Final = logging.getLogger(__name__)
_STARTS: Final = 2  # a standby runner may have been damaged while it waited
_LAST_EVENTS_SECONDS: Final = {Halt.PAUSE: 2.0, Halt.HAND_BACK: 0.25}
"""For the last events of an attempt that another one continues, and whose own events tell the same again."""


class JobSupervisor:
    """Supervises one job at a time on the event loop that awaits :meth:`run`.

    Make one per Celery child, in the child, on its main thread (see Standby); ``standby.refill()`` there warms the
    first runner. Each ``run`` may be under an event loop of its own.

    Args:
        standby: Gives runners, launched at ``level``: ``Standby(lambda: launch(level, environ=environ))``.
        level: How runners confine themselves; from ``workers.sandbox.levels.best_level``.
        doors: Language models: a ``workers.lm.doors.BrokerDoors``.
        catalogue: The filled ``dspy_service.domain.catalogue.registry.Registry``.
        artifacts: Where the events of a job's earlier ends stand.
        secret_key: Verifies them.
        limits: How long to wait for what, and with how many threads a job evaluates.
    """

    def __init__(
        self,
        *,
        standby: Standby,
        level: SandboxLevel,
        doors: ModelDoors,
        catalogue: Catalogue,
        artifacts: ArtifactStore,
        secret_key: bytes,
        limits: SupervisionLimits | None = None,
    ) -> None:
        self._standby = standby
        self._level = level
        self._doors = doors
        self._catalogue = catalogue
        self._artifacts = artifacts
        self._secret_key = secret_key
        self._limits = limits or SupervisionLimits()

    @property
    def sandbox_level(self) -> SandboxLevel:
        """See Supervisor."""
        return self._level

    async def run(
        self, claim: Claim, rows: Sequence[Row], *, jobs: JobStore, reins: Reins, keep_best: KeepBest
    ) -> RunReport | Interrupted:
        """See Supervisor."""
        try:
            keeps_best = self._catalogue.optimizer(claim.spec.optimizer_name).keeps_best
            door = await unless_halted(self._doors.open(claim, tail=jobs, keeps_reserve=keeps_best), reins)
        except UnsupportedRequestError as error:  # the operator's registry is not what accepted it
            return RunReport.failed("unsupported_request", str(error))
        except ModelCallError as error:
            return RunReport.failed("model_error", str(error))
        if isinstance(door, Halt):
            return interrupted(door)
        try:
            limits = self._limits.lowered(claim.spec.limits)
            opening = self._opening(claim, rows, door, limits)
            attempt = Attempt(
                door=door,
                feed=EventFeed(claim, jobs),
                keeper=BestKeeper(
                    keep_best,
                    known_score=claim.job.best.score if claim.job.best is not None else None,
                    max_bytes=limits.checkpoints_bytes,
                ),
                limits=limits,
                reins=reins,
                time=await time_budget(
                    claim,
                    jobs=jobs,
                    artifacts=self._artifacts,
                    secret_key=self._secret_key,
                    job_seconds=limits.job_seconds,
                    keeps_reserve=keeps_best,
                ),
                budget=claim.spec.budget,
            )
            reins.count_with(lambda: attempt.time.running_seconds)
            return await self._see_through(attempt, opening)
        except (UnsupportedRequestError, ProtocolError) as error:  # as above, of the module
            return RunReport.failed("unsupported_request", str(error), usage=door.usage())
        finally:
            await door.aclose()
            if reins.why is not Halt.HAND_BACK:  # this worker goes away
                self._warm_next()

    def _warm_next(self) -> None:
        try:
            self._standby.refill()
        except OSError:  # this job's report must not suffer; the next job tries again
            _log.exception("No runner could be started ahead.")

    def _opening(
        self, claim: Claim, rows: Sequence[Row], door: ModelDoor, limits: SupervisionLimits
    ) -> Iterator[bytes]:
        first = spec_frame(
            claim,
            module=self._catalogue.module(claim.spec.module_name),
            optimizer=self._catalogue.optimizer(claim.spec.optimizer_name),
            roles=door.roles(),
            limits=limits,
        )
        return _chain(first, rows_frames(rows))

    async def _see_through(self, attempt: Attempt, opening: Iterator[bytes]) -> RunReport | Interrupted:
        """Run the attempt beside what writes its events and stores its checkpoints."""
        writing = asyncio.create_task(attempt.feed.run())
        keeping = asyncio.create_task(attempt.keeper.run())
        running = asyncio.create_task(self._with_child(attempt, opening))
        try:
            await asyncio.wait({running, writing, keeping}, return_when="FIRST_COMPLETED")
            _raise_what_stopped(writing, keeping)
            outcome = running.result()
            attempt.feed.close()
            patience = _LAST_EVENTS_SECONDS[outcome.why] if isinstance(outcome, Interrupted) else None
            await asyncio.wait({writing}, timeout=patience)
            _raise_what_stopped(writing)
        finally:
            for task in (running, writing, keeping):
                task.cancel()
                await asyncio.wait({task})
        return outcome

    async def _with_child(self, attempt: Attempt, opening: Iterator[bytes]) -> RunReport | Interrupted:
        problem = ""
        for _ in range(_STARTS):
            try:
                child = self._standby.take()
            except OSError as error:
                problem = f"{error.strerror or error}."
                _log.exception("No runner could be started.")
                continue
            session = Session(child, attempt)
            try:
                await session.open()
                ending = await session.run(opening)
            except RunnerNotReadyError as error:
                problem = str(error)
                _log.error("A runner (pid %d) was not ready: %s", child.pid, problem)
            else:
                return report(ending, session.reception, usage=attempt.door.usage())
            finally:
                await _ended(session, child)
        raise NoRunnerError(problem)


def _raise_what_stopped(*tasks: asyncio.Task[None]) -> None:
    """Raise what ended one of them: a lost lease, or a bug."""
    for task in tasks:
        if task.done():
            task.result()


async def _ended(session: Session, child: Child) -> None:
    """Close the session; the child is dead afterwards even if that is interrupted."""
    try:
        await session.close()
    finally:
        child.kill()


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


if TYPE_CHECKING:

    def _proof(supervisor: JobSupervisor) -> Supervisor:
        return supervisor
