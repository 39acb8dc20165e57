"""The dispatcher: rings doorbells for jobs that wait, says that this worker lives, and does the chores of all workers.

It runs on a thread of each worker's parent process, with an event loop of its own. Every worker may run one: the store
hands each due ring to exactly one of them, and chores may be done twice.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.workers import WorkerInfo
from dspy_service.ports import Doorbell, JobStore
from workers.chores import Chore, keep_doing

logger = logging.getLogger(__name__)

ANNOUNCE_SECONDS = 3.0
ANNOUNCE_TTL_SECONDS = 10.0  # three missed announcements
FULL_SECONDS = 0.05  # between two looks at a queue that is full
IDLE_SECONDS = 1.0  # rings fall due by time too, so the wait for a submit is short
STOP_SECONDS = 5.0
RINGS_PER_SLOT = 3  # one that it takes next, and two to spare: slots of other workers take some


@dataclass(frozen=True)
class Door:
    """The two ports that a dispatcher stands between, and what else is to be done over such connections."""

    jobs: JobStore
    doorbell: Doorbell
    chores: Sequence[Chore] = ()
    tenant_running_jobs: int = 0
    """A tenant with so many running jobs must wait; 0: any number."""


OpenDoor = Callable[[], AbstractAsyncContextManager[Door]]
"""Connects; called on the dispatcher's own event loop, because connections belong to a loop."""


async def dispatch(door: Door, worker: WorkerInfo) -> None:
    """Ring, announce and do the chores until cancelled; then forget the worker, if the store still listens."""
    unrung: deque[str] = deque()
    at_most = RINGS_PER_SLOT * worker.concurrency
    rings = (Chore("ring for waiting jobs", lambda: _ring(door, unrung, at_most=at_most)),)
    chores = (
        *(() if worker.only_serves else rings),
        Chore("announce this worker", lambda: _announce(door.jobs, worker), period_seconds=ANNOUNCE_SECONDS),
        *door.chores,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            for chore in chores:
                tasks.create_task(keep_doing(chore))
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
        unrung.extend(await _due(door, room))
    if not unrung:
        await door.jobs.wait_for_submit(IDLE_SECONDS)
    while unrung:
        await door.doorbell.ring(unrung[0])
        unrung.popleft()


async def _due(door: Door, room: int) -> list[str]:
    """Return whom to ring for; nobody when every waiting job's tenant must wait, for a slot would find nothing to do.

    The end of one of the tenant's running jobs makes a ring due again.
    """
    ids = await door.jobs.due(limit=room)
    at_most = door.tenant_running_jobs
    return [] if ids and at_most and await door.jobs.next_job(tenant_running_jobs=at_most) is None else ids


async def _announce(jobs: JobStore, worker: WorkerInfo) -> None:
    await jobs.announce_worker(worker, ttl_seconds=ANNOUNCE_TTL_SECONDS)


async def _retire(jobs: JobStore, worker: WorkerInfo) -> None:
    try:
        await asyncio.wait_for(jobs.retire_worker(worker.worker_id), STOP_SECONDS / 2)
    except (StoreUnavailableError, TimeoutError):
        logger.info("The store did not hear that worker %s stops; it forgets it by itself.", worker.worker_id)


class Dispatcher:
    """The thread on which ``dispatch`` runs in a worker's parent process."""

    def __init__(self, open_door: OpenDoor, worker: WorkerInfo) -> None:
        self._open_door = open_door
        self._worker = worker
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin to ring, to announce and to do the chores."""
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
