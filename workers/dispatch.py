"""The dispatcher: rings doorbells for jobs that wait, and says that this worker lives.

It runs on a thread of each worker's parent process, with an event loop of its own. Every worker may run one: the store
hands each due ring to exactly one of them.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.workers import WorkerInfo
from dspy_service.ports import Doorbell, JobStore

logger = logging.getLogger(__name__)

ANNOUNCE_SECONDS = 3.0
ANNOUNCE_TTL_SECONDS = 10.0  # three missed announcements
FULL_SECONDS = 0.05  # between two looks at a queue that is full
FIRST_RETRY_SECONDS = 0.2
IDLE_SECONDS = 1.0  # rings fall due by time too, so the wait for a submit is short
LAST_RETRY_SECONDS = 5.0
STOP_SECONDS = 5.0
RINGS_PER_SLOT = 3  # one that Celery has reserved, one that it takes next, one to spare


@dataclass(frozen=True)
class Door:
    """The two ports that a dispatcher stands between."""

    jobs: JobStore
    doorbell: Doorbell


OpenDoor = Callable[[], AbstractAsyncContextManager[Door]]
"""Connects; called on the dispatcher's own event loop, because connections belong to a loop."""


async def dispatch(door: Door, worker: WorkerInfo) -> None:
    """Ring and announce until cancelled; then forget the worker, if the store still listens."""
    unrung: deque[str] = deque()
    try:
        async with asyncio.TaskGroup() as tasks:
            at_most = RINGS_PER_SLOT * worker.concurrency
            tasks.create_task(_keep_trying("ring for waiting jobs", lambda: _ring(door, unrung, at_most=at_most)))
            tasks.create_task(_keep_trying("announce this worker", lambda: _announce(door.jobs, worker)))
    finally:
        await _retire(door.jobs, worker)


async def _ring(door: Door, unrung: deque[str], *, at_most: int) -> None:
    """Ring for what is due, or wait a moment for a submit when nothing is.

    Never more than ``at_most`` rings stand in the queue: a backlog waits in the outbox, where it costs nothing, and not
    as messages that are rung again and again. ``unrung`` outlives a failure: the store has put these rings off already,
    so nobody else rings them soon.
    """
    if not unrung:
        room = at_most - await door.doorbell.waiting()
        if room <= 0:
            await asyncio.sleep(FULL_SECONDS)
            return
        unrung.extend(await door.jobs.due(limit=room))
    if not unrung:
        await door.jobs.wait_for_submit(IDLE_SECONDS)
    while unrung:
        await door.doorbell.ring(unrung[0])
        unrung.popleft()


async def _announce(jobs: JobStore, worker: WorkerInfo) -> None:
    await jobs.announce_worker(worker, ttl_seconds=ANNOUNCE_TTL_SECONDS)
    await asyncio.sleep(ANNOUNCE_SECONDS)


async def _retire(jobs: JobStore, worker: WorkerInfo) -> None:
    try:
        await asyncio.wait_for(jobs.retire_worker(worker.worker_id), STOP_SECONDS / 2)
    except (StoreUnavailableError, TimeoutError):
        logger.info("The store did not hear that worker %s stops; it forgets it by itself.", worker.worker_id)


async def _keep_trying(what: str, step: Callable[[], Awaitable[None]]) -> None:
    """Repeat ``step`` for ever; while the store is away, with growing pauses and a single line in the log."""
    pause_seconds = 0.0
    while True:
        try:
            await step()
        except StoreUnavailableError as error:
            if not pause_seconds:
                logger.warning("Cannot %s: %s", what, error)
            pause_seconds = min(max(2 * pause_seconds, FIRST_RETRY_SECONDS), LAST_RETRY_SECONDS)
            await asyncio.sleep(pause_seconds)
        else:
            if pause_seconds:
                logger.warning("The store answers again; this worker can %s.", what)
            pause_seconds = 0.0


class Dispatcher:
    """The thread on which ``dispatch`` runs in a worker's parent process."""

    def __init__(self, open_door: OpenDoor, worker: WorkerInfo) -> None:
        self._open_door = open_door
        self._worker = worker
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin to ring and to announce."""
        self._thread.start()

    def stop(self) -> None:
        """Stop ringing and retire the worker; waits a few seconds at most."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join(STOP_SECONDS)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._dispatch())
            except asyncio.CancelledError:
                logger.debug("The dispatcher of worker %s stopped.", self._worker.worker_id)

    async def _dispatch(self) -> None:
        self._task = asyncio.current_task()
        async with self._open_door() as door:
            await dispatch(door, self._worker)
