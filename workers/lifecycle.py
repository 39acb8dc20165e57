"""What lives in this worker process, and when it comes and goes: a parent with its dispatcher, or a slot."""

from dspy_service.config import Settings
from dspy_service.domain.workers import JOBS_QUEUE, SERVING_QUEUE
from workers.bootstrap import Parent
from workers.dispatch import Dispatcher
from workers.serving.opening import open_serving_worker
from workers.serving.worker import ServingWorker
from workers.slot import Slot
from workers.undumpable import make_undumpable


class Lifecycle:
    """Called by Celery's signals, on the main thread. A pool child inherits what its parent prepared."""

    def __init__(self) -> None:
        self._parent: Parent | None = None
        self._queues: tuple[str, ...] = ()
        self._dispatcher: Dispatcher | None = None
        self._slot: Slot | None = None
        self._serving: ServingWorker | None = None

    def prepare_parent(self, settings: Settings, *, queues: tuple[str, ...] = (JOBS_QUEUE,)) -> None:
        """In the parent, before it forks.

        Args:
            settings: What the operator decides.
            queues: What the worker was started for.

        Raises:
            ConfigurationError: the settings cannot work, or submitted code cannot be confined at all.
        """
        make_undumpable()
        self._parent, self._queues = Parent.prepare(settings), queues

    @property
    def may_run_jobs(self) -> bool:
        """Whether submitted code is confined here as well as the settings ask; else this worker only says so."""
        return self._prepared().may_run_jobs

    def start_dispatcher(self, *, concurrency: int) -> None:
        """In the parent, once it takes tasks."""
        self._dispatcher = self._prepared().dispatcher(queues=self._queues, concurrency=concurrency)
        self._dispatcher.start()

    def go_away(self) -> None:
        """In the parent, at the first sign of its end: jobs are handed back, and nobody is rung for; also twice."""
        if self._parent is not None:
            self._parent.notice.give()
        if self._dispatcher is not None:
            self._dispatcher.stop()

    def open_slot(self) -> None:
        """In a pool child, when it starts: what the worker's queues ask for."""
        make_undumpable()  # inherited where a child is forked, not where the pool starts its children anew
        if self.may_run_jobs and JOBS_QUEUE in self._queues:
            self._slot = Slot(self._prepared())
        if SERVING_QUEUE in self._queues:
            self._serving = open_serving_worker(self._prepared())
            self._serving.start()

    def run_next(self) -> None:
        """In a pool child, for each ring."""
        if self._slot is None:
            raise RuntimeError("This pool child has no slot; why stands in the log where the child started.")
        self._slot.run_next()

    def close_slot(self) -> None:
        """In a pool child, when it ends."""
        if self._serving is not None:
            self._serving.close()
        if self._slot is not None:
            self._slot.close()

    def _prepared(self) -> Parent:
        if self._parent is None:
            raise RuntimeError("This process was not prepared as a worker's parent, nor forked from one.")
        return self._parent


LIFECYCLE = Lifecycle()
"""Of this process."""
