"""Takes each frame of a runner to where it belongs, and knows which may come when."""

import asyncio
from collections.abc import Callable
from typing import Final

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.frames import Frame
from dspy_service.domain.supervision import Checkpoint, Phase
from workers.supervisor.attempt import Attempt
from workers.supervisor.checkpoints import CheckpointIntake
from workers.supervisor.ending import Ending, failure_ending, result_ending
from workers.supervisor.files import FileCollector
from workers.supervisor.intake import PROGRESS_TYPES, EventIntake
from workers.supervisor.plain_data import plain
from workers.supervisor.plain_text import one_line
from workers.supervisor.reasons import accepted, may_be_spent

_PHASES: Final[tuple[Phase, ...]] = ("baseline", "compile", "final")


class Reception:
    """Of one runner. Until it is ready only ``ready`` may come, and after ``result`` or ``failure`` nothing counts.

    Args:
        attempt: Whose door answers questions, whose feed takes events, and whose keeper stores checkpoints.
        reply: Takes the bytes of an answer.
        on_progress: Called when a frame shows that the job goes on.
    """

    def __init__(self, attempt: Attempt, *, reply: Callable[[bytes], None], on_progress: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Frame] = loop.create_future()
        self.ending: asyncio.Future[Ending] = loop.create_future()
        self.files = FileCollector(attempt.limits.artifact_bytes)
        """The artifact's files so far."""
        self.best: Checkpoint | None = None
        """The checkpoint with the highest score, the newest of equals."""
        self.is_deaf = False
        """Whether questions are passed over: whoever asked them is gone."""
        self._attempt = attempt
        self._reply = reply
        self._on_progress = on_progress
        self._intake = EventIntake(attempt.feed, attempt.limits)
        self._checkpoints = CheckpointIntake(attempt.limits)
        self._phases_left = list(_PHASES)
        self._is_running = False

    @property
    def versions(self) -> dict[str, str]:
        """What the runner is made of, as it said before it knew any submitted code; empty until it is ready."""
        told = plain(self.ready.result().get("versions")).value if self.ready.done() else None
        return {name: one_line(str(version)) for name, version in told.items()} if isinstance(told, dict) else {}

    def end(self, ending: Ending) -> None:
        """Note what ended the attempt, unless something else has."""
        if not self.ending.done():
            self.ending.set_result(ending)

    def take(self, frame: Frame) -> None:
        """Take one frame.

        Raises:
            ProtocolError: it is none of ours, or may not come now.
        """
        if self.ending.done():
            return
        kind = frame["t"]
        if not self.ready.done():
            if kind != "ready":
                raise ProtocolError(f"The first frame is {kind[:40]!r}, not 'ready'.")
            self.ready.set_result(frame)
        elif kind == "lm":
            if not self.is_deaf:
                self._on_progress()
                self._attempt.door.ask(frame, self._reply)
        elif kind == "event":
            if self._intake.take(frame) in PROGRESS_TYPES:
                self._on_progress()
        else:
            self._take_rare(kind, frame)
            self._on_progress()

    def _take_rare(self, kind: str, frame: Frame) -> None:
        if kind == "failure":
            may_be = may_be_spent(self._attempt.budget, is_seen=self._is_budget_spent)
            self.end(failure_ending(frame, is_budget_spent=may_be))
        elif kind == "status" and frame.get("status") == "running" and not self._is_running:
            self._is_running = True
            self._attempt.time.begin_running()
            self._attempt.feed.advance()
        elif self._is_running:
            self._take_while_running(kind, frame)
        else:
            raise _unexpected(kind)

    def _take_while_running(self, kind: str, frame: Frame) -> None:
        match kind:
            case "phase":
                self._take_phase(frame)
            case "blob" if frame.get("checkpoint") is None:
                self.files.take(frame)
            case "blob":
                self._checkpoints.take_piece(frame)
            case "checkpoint":
                self._take_checkpoint(frame)
            case "result":
                reason = accepted(frame.get("reason"), self._attempt.budget, is_seen=self._is_budget_spent)
                self.end(result_ending(frame, reason=reason))
            case _:
                raise _unexpected(kind)

    def _take_phase(self, frame: Frame) -> None:
        phase = frame.get("phase")
        if phase not in self._phases_left:
            raise ProtocolError(f"A runner may not begin {str(phase)[:40]!r} now.")
        del self._phases_left[: self._phases_left.index(phase) + 1]
        self._attempt.time.begin(phase)
        self._attempt.door.begin(phase)

    def _take_checkpoint(self, frame: Frame) -> None:
        taken = self._checkpoints.complete(frame)
        self._attempt.feed.add(NewEvent(type=EventType.CHECKPOINT, data={"score": taken.score, "number": taken.number}))
        if self.best is not None and taken.score < self.best.score:
            return
        result = taken.result.model_copy(update={"versions": self.versions})
        self.best = Checkpoint(taken.number, taken.score, taken.files, result, self._attempt.door.usage())
        self._attempt.keeper.offer(self.best)

    @property
    def _is_budget_spent(self) -> bool:
        return self._attempt.door.spent is not None or self._attempt.time.is_spent


def _unexpected(kind: str) -> ProtocolError:
    return ProtocolError(f"A runner may not send a {kind[:40]!r} frame now.")
