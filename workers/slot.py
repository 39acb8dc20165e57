"""The composition root of a slot: one pool child, which runs one job at a time."""

import asyncio
import logging
import math
import os
import threading
import time

from dspy_service.adapters.redis.cache import RedisResponseCache
from dspy_service.adapters.redis.throttle import RedisCallThrottle
from dspy_service.bootstrap import open_services
from dspy_service.config import Settings
from dspy_service.domain.errors import ServiceError
from dspy_service.ports import ResponseCache
from dspy_service.usecases.execute import execute
from workers.bootstrap import Parent
from workers.hand_back import RELEASE_SECONDS, Departure, hand_back_in_time
from workers.lm.doors import BrokerDoors
from workers.lm.engine import CallLimits
from workers.lm.registry import ModelRegistry
from workers.lm.retry import RetryPolicy
from workers.sandbox.launch import launch
from workers.sandbox.rlimits import DEFAULT_MEMORY_BYTES, ProcessLimits
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits
from workers.supervisor.limits import OWN_THREADS

logger = logging.getLogger(__name__)


class Slot:
    """One pool child: it runs one job at a time on one event loop, and keeps a runner warm for the next.

    Make it on the child's main thread: the kernel ties a runner's life to the thread that started it.
    """

    def __init__(self, parent: Parent) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("A slot must be made on its process's main thread, or its runners die with another one.")
        settings = parent.settings
        self._settings = settings
        self._departure = Departure(parent.notice)
        self._owner = f"{parent.worker_id}/{os.getpid()}:{time.time_ns() // 1_000_000}"
        self._loop = asyncio.Runner()
        self._services = open_services(settings)
        self._cache = _response_cache(settings)
        self._throttle = RedisCallThrottle(settings.redis_url)
        level, factories, limits = parent.offer.level, self._services.registry.factories, _process_limits(settings)
        self._standby = Standby(
            lambda: launch(level, environ=os.environ, factories=factories, limits=limits), keep=settings.standby
        )
        self._supervisor = JobSupervisor(
            standby=self._standby,
            level=level,
            doors=BrokerDoors(
                ModelRegistry(
                    parent.providers,
                    max_answer_bytes=settings.lm_answer_bytes,
                    models=parent.models,
                    name_key=self._services.secret_key,
                ),
                _call_limits(settings),
                artifacts=self._services.artifacts,
                secret_key=self._services.secret_key,
                journal_bytes=settings.lm_journal_bytes,
                cache=self._cache,
                ledger=self._services.ledger,
                throttle=self._throttle,
            ),
            catalogue=self._services.registry,
            artifacts=self._services.artifacts,
            secret_key=self._services.secret_key,
            limits=_supervision_limits(settings),
        )
        self._idle = True
        parent.roster.sign_in(self._owner)
        self._standby.refill()

    def run_next(self) -> None:
        """Run the job that is next, if one waits. Whatever is wrong with it is written to its record.

        An error of ours (the lease is lost, the store is away) ends this attempt only: the record says what is next.
        """
        self._idle = False
        try:
            self._loop.run(self._until_told())
        except ServiceError as error:
            logger.warning("A job was left: %s", error)
        finally:
            self._idle = True

    def close(self) -> None:
        """End the standby runner and the connections; a job that was interrupted is cancelled and its runner killed."""
        self._standby.close()
        if self._idle:
            self._loop.run(self._aclose())
        self._loop.close()

    async def _aclose(self) -> None:
        if self._cache is not None:
            await self._cache.aclose()
        await self._throttle.aclose()
        await self._services.aclose()

    async def _until_told(self) -> None:
        """Run a job; hand it back when this worker goes away."""
        if self._departure.is_due:
            return
        leaving = asyncio.Event()
        with self._departure.told_to(leaving):
            await hand_back_in_time(self._execute(leaving), leaving, seconds=self._settings.hand_back_seconds)

    async def _execute(self, leaving: asyncio.Event) -> None:
        await execute(
            jobs=self._services.jobs,
            artifacts=self._services.artifacts,
            secret_key=self._services.secret_key,
            supervisor=self._supervisor,
            owner=self._owner,
            lease_seconds=self._settings.lease_seconds,
            heartbeat_seconds=self._settings.heartbeat_seconds,
            tenant_running_jobs=self._settings.tenant_running_jobs,
            leaving=leaving,
        )


def _response_cache(settings: Settings) -> ResponseCache | None:
    """Return what jobs of one tenant share; it stands where the records do."""
    if not settings.lm_cache_bytes:
        return None
    return RedisResponseCache(
        settings.redis_url, max_bytes=settings.lm_cache_bytes, unused_seconds=settings.lm_cache_seconds
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
        pause_seconds=settings.pause_seconds,
        hand_back_seconds=settings.hand_back_seconds - RELEASE_SECONDS,
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
