"""The worker's composition root: what its parent process and each of its pool children (slots) are made of."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from dspy_service.bootstrap import open_services
from dspy_service.config import Settings
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.workers import SandboxLevel, WorkerInfo
from dspy_service.usecases.execute import execute
from workers.dispatch import Dispatcher, Door
from workers.lm.doors import BrokerDoors
from workers.lm.engine import CallLimits
from workers.lm.environment import ProviderEnvironment, read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.lm.retry import RetryPolicy
from workers.sandbox.launch import launch
from workers.sandbox.levels import best_level
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parent:
    """What the parent process finds out once and its forked children inherit."""

    settings: Settings
    level: SandboxLevel
    providers: ProviderEnvironment
    worker_id: str
    started_at: datetime

    @classmethod
    def prepare(cls, settings: Settings) -> "Parent":
        """Probe the confinement and read the provider keys.

        Raises:
            ConfigurationError: submitted code cannot be confined as well as the settings ask, or they cannot work.
        """
        open_services(settings)  # a mistake in the operator's registry should end the start, not every slot
        return cls(
            settings=settings,
            level=best_level(minimum=settings.sandbox_min_level, environ=os.environ),
            providers=read_provider_environment(os.environ),
            worker_id=f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() // 1_000_000}",
            started_at=datetime.now(UTC),
        )

    def dispatcher(self, *, queues: tuple[str, ...], concurrency: int) -> Dispatcher:
        """Return the dispatcher of this worker; it opens its own connections on its own loop."""

        @asynccontextmanager
        async def door() -> AsyncIterator[Door]:
            async with open_services(self.settings) as services:
                yield Door(services.jobs, services.doorbell)

        worker = WorkerInfo(
            worker_id=self.worker_id,
            queues=queues,
            concurrency=concurrency,
            sandbox_level=self.level,
            started_at=self.started_at,
        )
        return Dispatcher(door, worker)


class Slot:
    """One pool child: it runs one job at a time on one event loop, and keeps a runner warm for the next.

    Make it on the child's main thread: the kernel ties a runner's life to the thread that started it.
    """

    def __init__(self, parent: Parent) -> None:
        settings = parent.settings
        self._settings = settings
        self._owner = f"{parent.worker_id}/{os.getpid()}"
        self._loop = asyncio.Runner()
        self._services = open_services(settings)
        self._standby = Standby(lambda: launch(parent.level, environ=os.environ), keep=settings.standby)
        self._supervisor = JobSupervisor(
            standby=self._standby,
            level=parent.level,
            doors=BrokerDoors(ModelRegistry(parent.providers), _call_limits(settings)),
            catalogue=self._services.registry,
            limits=SupervisionLimits(job_seconds=settings.job_seconds, num_threads=settings.eval_threads),
        )
        self._idle = True
        self._standby.refill()

    def run(self, job_id: str) -> None:
        """Run the job if it still waits. Whatever is wrong with the job is written to its record.

        An error of ours (the lease is lost, the store is away) ends this attempt only: the record says what is next.
        """
        self._idle = False
        try:
            self._loop.run(self._execute(job_id))
        except ServiceError as error:
            logger.warning("Job %s was left: %s", job_id, error)
        finally:
            self._idle = True

    def close(self) -> None:
        """End the standby runner and the connections; a job that was interrupted is cancelled and its runner killed."""
        self._standby.close()
        if self._idle:
            self._loop.run(self._services.aclose())
        self._loop.close()

    async def _execute(self, job_id: str) -> None:
        await execute(
            job_id,
            jobs=self._services.jobs,
            artifacts=self._services.artifacts,
            supervisor=self._supervisor,
            owner=self._owner,
            lease_seconds=self._settings.lease_seconds,
            heartbeat_seconds=self._settings.heartbeat_seconds,
        )


def _call_limits(settings: Settings) -> CallLimits:
    return CallLimits(
        timeout_seconds=settings.lm_timeout_seconds,
        max_in_flight=settings.lm_max_in_flight,
        retry=RetryPolicy(max_attempts=settings.lm_max_attempts),
    )
