"""Runs an attempt of a job in a confined runner: the ``Supervisor`` port of the worker."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from dspy_service.domain.errors import ModelCallError, ProtocolError, UnsupportedRequestError
from dspy_service.domain.job import Claim, JobStatus
from dspy_service.domain.spec import Row
from dspy_service.domain.supervision import RunReport
from dspy_service.domain.workers import SandboxLevel
from dspy_service.ports import JobStore
from workers.sandbox.launch import Child
from workers.supervisor.door import Catalogue, ModelDoor, ModelDoors
from workers.supervisor.ending import Ending
from workers.supervisor.feed import EventFeed
from workers.supervisor.limits import SupervisionLimits
from workers.supervisor.opening import rows_frames, spec_frame
from workers.supervisor.session import RunnerNotReadyError, Session
from workers.supervisor.standby import Standby

if TYPE_CHECKING:
    from dspy_service.ports import Supervisor

_log: Final = logging.getLogger(__name__)
_STARTS: Final = 2  # a standby runner may have been damaged while it waited


class JobSupervisor:
    """Supervises one job at a time on the event loop that awaits :meth:`run`.

    Make one per Celery child, in the child, on its main thread (see Standby); ``standby.refill()`` there warms the
    first runner. Each ``run`` may be under an event loop of its own.

    Args:
        standby: Gives runners, launched at ``level``: ``Standby(lambda: launch(level, environ=environ))``.
        level: How runners confine themselves; from ``workers.sandbox.levels.best_level``.
        doors: Language models: ``workers.lm.doors.BrokerDoors(ModelRegistry(read_provider_environment(environ)))``.
        catalogue: The filled ``dspy_service.domain.catalogue.registry.Registry``.
        limits: How long to wait for what, and with how many threads a job evaluates.
    """

    def __init__(
        self,
        *,
        standby: Standby,
        level: SandboxLevel,
        doors: ModelDoors,
        catalogue: Catalogue,
        limits: SupervisionLimits | None = None,
    ) -> None:
        self._standby = standby
        self._level = level
        self._doors = doors
        self._catalogue = catalogue
        self._limits = limits or SupervisionLimits()

    @property
    def sandbox_level(self) -> SandboxLevel:
        """See Supervisor."""
        return self._level

    async def run(self, claim: Claim, rows: Sequence[Row], *, jobs: JobStore, cancel: asyncio.Event) -> RunReport:
        """See Supervisor."""
        try:
            door = self._doors.open(claim.spec)
        except ModelCallError as error:
            return RunReport.failed("model_error", str(error))
        try:
            limits = self._limits.lowered(claim.spec.limits)
            opening = self._opening(claim, rows, door, limits)
            return await self._attempt(claim, opening, door, limits, jobs, cancel)
        except (UnsupportedRequestError, ProtocolError) as error:  # the operator's registry is not what accepted it
            return RunReport.failed("unsupported_request", str(error))
        finally:
            await door.aclose()
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

    async def _attempt(
        self,
        claim: Claim,
        opening: Iterator[bytes],
        door: ModelDoor,
        limits: SupervisionLimits,
        jobs: JobStore,
        cancel: asyncio.Event,
    ) -> RunReport:
        sessions: list[Session] = []
        feed = EventFeed(claim, jobs, on_room=lambda: sessions[-1].look_again() if sessions else None)
        writing = asyncio.create_task(feed.run())
        running = asyncio.create_task(self._with_child(sessions, feed, opening, door, limits, cancel))
        try:
            await asyncio.wait({running, writing}, return_when="FIRST_COMPLETED")
            if writing.done():
                writing.result()  # raises what stopped it: a lost lease, or a store that is away
            report = running.result()
            feed.close()
            await writing
        finally:
            for task in (running, writing):
                task.cancel()
                await asyncio.wait({task})
        return report

    async def _with_child(
        self,
        sessions: list[Session],
        feed: EventFeed,
        opening: Iterator[bytes],
        door: ModelDoor,
        limits: SupervisionLimits,
        cancel: asyncio.Event,
    ) -> RunReport:
        problem = ""
        for _ in range(_STARTS):
            child = self._standby.take()
            session = Session(child, feed, door, limits)
            sessions.append(session)
            try:
                await session.open()
                ending = await session.run(opening, cancel)
            except RunnerNotReadyError as error:
                problem = str(error)
                _log.error("A runner (pid %d) was not ready: %s", child.pid, problem)
            else:
                return _report(ending, session, door)
            finally:
                await _ended(session, child)
        return RunReport.failed("runner_not_ready", f"The process for this job did not start: {problem}")


async def _ended(session: Session, child: Child) -> None:
    """Close the session; the child is dead afterwards even if that is interrupted."""
    try:
        await session.close()
    finally:
        child.kill()


def _report(ending: Ending, session: Session, door: ModelDoor) -> RunReport:
    status: dict[str, JobStatus] = {"result": JobStatus.SUCCESS, "cancelled": JobStatus.CANCELLED}
    return RunReport(
        status=status.get(ending.how, JobStatus.FAILED),  # type: ignore[arg-type]  # the values are terminal states
        termination_reason=ending.reason,
        usage=door.usage(),
        result=ending.result and ending.result.model_copy(update={"versions": session.versions}),
        failure=ending.failure,
        files=session.files.whole() if ending.how in status else {},
    )


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


if TYPE_CHECKING:

    def _proof(supervisor: JobSupervisor) -> Supervisor:
        return supervisor
