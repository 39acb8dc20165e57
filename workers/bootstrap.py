"""The worker's composition root: what its parent process and each of its pool children (slots) are made of."""

import asyncio
import logging
import math
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from dspy_service.adapters.redacted_logging import hide_secrets_in_logs
from dspy_service.bootstrap import open_services
from dspy_service.config import Settings
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.workers import WorkerInfo
from dspy_service.usecases.execute import execute
from workers.dispatch import Dispatcher, Door
from workers.lm.doors import BrokerDoors
from workers.lm.engine import CallLimits
from workers.lm.environment import ProviderEnvironment, read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.lm.retry import RetryPolicy
from workers.sandbox.launch import launch
from workers.sandbox.levels import Offer, best_level
from workers.sandbox.rlimits import DEFAULT_MEMORY_BYTES, ProcessLimits
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits
from workers.supervisor.limits import OWN_THREADS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parent:
    """What the parent process finds out once and its forked children inherit."""

    settings: Settings
    offer: Offer
    providers: ProviderEnvironment
    worker_id: str
    started_at: datetime

    @classmethod
    def prepare(cls, settings: Settings) -> "Parent":
        """Probe the confinement and read the provider keys; say at once what is wrong with the former.

        Raises:
            ConfigurationError: the settings cannot work, or submitted code cannot be confined at all.
        """
        open_services(settings)  # a mistake in the operator's registry should end the start, not every slot
        offer = best_level(environ=os.environ)
        if refusal := offer.below(settings.sandbox_min_level):
            logger.error("This worker takes no job. %s", refusal)
        elif warning := offer.warning:
            logger.warning("%s", warning)
        providers = read_provider_environment(os.environ)
        hide_secrets_in_logs(providers.secrets)
        return cls(
            settings=settings,
            offer=offer,
            providers=providers,
            worker_id=f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() // 1_000_000}",
            started_at=datetime.now(UTC),
        )

    @property
    def may_run_jobs(self) -> bool:
        """Whether submitted code is confined here as well as the settings ask."""
        return self.offer.below(self.settings.sandbox_min_level) is None

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
            sandbox_level=self.offer.level,
            missing=self.offer.missing,
            started_at=self.started_at,
        )
        return Dispatcher(door, worker)


class Slot:
    """One pool child: it runs one job at a time on one event loop, and keeps a runner warm for the next.

    Make it on the child's main thread: the kernel ties a runner's life to the thread that started it.
    """

    def __init__(self, parent: Parent) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("A slot must be made on its process's main thread, or its runners die with another one.")
        settings = parent.settings
        self._settings = settings
        self._owner = f"{parent.worker_id}/{os.getpid()}"
        self._loop = asyncio.Runner()
        self._services = open_services(settings)
        level, factories, limits = parent.offer.level, self._services.registry.factories, _process_limits(settings)
        self._standby = Standby(
            lambda: launch(level, environ=os.environ, factories=factories, limits=limits), keep=settings.standby
        )
        self._supervisor = JobSupervisor(
            standby=self._standby,
            level=level,
            doors=BrokerDoors(
                ModelRegistry(parent.providers, max_answer_bytes=settings.lm_answer_bytes), _call_limits(settings)
            ),
            catalogue=self._services.registry,
            limits=_supervision_limits(settings),
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
            secret_key=self._services.secret_key,
            supervisor=self._supervisor,
            owner=self._owner,
            lease_seconds=self._settings.lease_seconds,
            heartbeat_seconds=self._settings.heartbeat_seconds,
        )


def _process_limits(settings: Settings) -> ProcessLimits:
    """Return the kernel's limits: wider than the supervisor's, which says what was too much."""
    return ProcessLimits(
        memory_bytes=max(DEFAULT_MEMORY_BYTES, 2 * settings.runner_memory_bytes),
        threads=2 * settings.runner_threads,
        cpu_seconds=math.ceil(2 * settings.runner_cpu_seconds),
    )


def _supervision_limits(settings: Settings) -> SupervisionLimits:
    return SupervisionLimits(
        job_seconds=settings.job_seconds,
        cpu_seconds=settings.runner_cpu_seconds,
        memory_bytes=settings.runner_memory_bytes,
        threads=settings.runner_threads,
        stall_seconds=settings.stall_seconds,
        num_threads=max(1, min(settings.eval_threads, settings.runner_threads - OWN_THREADS)),
        output_bytes=settings.runner_output_bytes,
        log_bytes=settings.runner_log_bytes,
        event_bytes=settings.runner_event_bytes,
        events=settings.runner_events,
        frame_bytes=settings.runner_frame_bytes,
        pending_calls=settings.runner_pending_calls,
        pending_bytes=settings.runner_pending_bytes,
        artifact_bytes=settings.runner_artifact_bytes,
    )


def _call_limits(settings: Settings) -> CallLimits:
    return CallLimits(
        timeout_seconds=settings.lm_timeout_seconds,
        max_in_flight=settings.lm_max_in_flight,
        retry=RetryPolicy(max_attempts=settings.lm_max_attempts),
    )
