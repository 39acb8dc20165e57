"""What lives in this worker process, and when it comes and goes: a parent with its dispatcher, or a slot."""

from dspy_service.config import Settings
from workers.bootstrap import Parent
from workers.dispatch import Dispatcher
from workers.slot import Slot
from workers.undumpable import make_undumpable


class Lifecycle:
    """Called by Celery's signals, on the main thread. A pool child inherits what its parent prepared."""

    def __init__(self) -> None:
        self._parent: Parent | None = None
        self._dispatcher: Dispatcher | None = None
        self._slot: Slot | None = None

    def prepare_parent(self, settings: Settings) -> None:
        """In the parent, before it forks.

        Raises:
            ConfigurationError: the settings cannot work, or submitted code cannot be confined at all.
        """
        make_undumpable()
        self._parent = Parent.prepare(settings)

    @property
    def may_run_jobs(self) -> bool:
        """Whether submitted code is confined here as well as the settings ask; else this worker only says so."""
        return self._prepared().may_run_jobs

    def start_dispatcher(self, *, queues: tuple[str, ...], concurrency: int) -> None:
        """In the parent, once it takes tasks."""
        self._dispatcher = self._prepared().dispatcher(queues=queues, concurrency=concurrency)
        self._dispatcher.start()

    def go_away(self) -> None:
        """In the parent, at the first sign of its end: jobs are handed back, and nobody is rung for; also twice."""
        if self._parent is not None:
            self._parent.notice.give()
        if self._dispatcher is not None:
            self._dispatcher.stop()

    def open_slot(self) -> None:
        """In a pool child, when it starts."""
        make_undumpable()  # inherited where a child is forked, not where the pool starts its children anew
        if self.may_run_jobs:
            self._slot = Slot(self._prepared())

    def run_next(self) -> None:
        """In a pool child, for each ring."""
        if self._slot is None:
            raise RuntimeError("This pool child has no slot; why stands in the log where the child started.")
        self._slot.run_next()

    def close_slot(self) -> None:
        """In a pool child, when it ends."""
        if self._slot is not None:
            self._slot.close()

    def _prepared(self) -> Parent:
        if self._parent is None:
            raise RuntimeError("This process was not prepared as a worker's parent, nor forked from one.")
        return self._parent


LIFECYCLE = Lifecycle()
"""Of this process."""
