"""Collects the best programs so far that a runner sends on its way: one at a time, each complete before it counts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame
from dspy_service.domain.result import RunnerResult
from workers.supervisor.ending import runner_result
from workers.supervisor.files import NAMES, FileCollector
from workers.supervisor.limits import SupervisionLimits


@dataclass(frozen=True)
class TakenCheckpoint:
    """What a runner says of one checkpoint, read and made safe."""

    number: int
    score: float
    files: Mapping[str, bytes] = field(repr=False)
    result: RunnerResult


class CheckpointIntake:
    """Turns ``blob`` frames with a number, and the ``checkpoint`` frame after them, into checkpoints.

    Numbers rise. A set of files that is followed by one with a higher number was given up, and is forgotten.
    """

    def __init__(self, limits: SupervisionLimits) -> None:
        self._limits = limits
        self._number = 0
        self._files: FileCollector | None = None

    def take_piece(self, frame: Frame) -> None:
        """Add one piece of a file.

        Raises:
            ProtocolError: its number is not the present one or a higher one, there are too many, or the piece is none.
        """
        number = _number(frame.get("checkpoint"))
        if number > self._limits.checkpoints:
            raise ProtocolError(f"A runner may not send more than {self._limits.checkpoints} checkpoints.")
        if number > self._number:
            self._number, self._files = number, FileCollector(self._limits.artifact_bytes)
        elif self._files is None or number != self._number:
            raise ProtocolError(f"Checkpoint {number} comes too late.")
        self._files.take(frame)

    def complete(self, frame: Frame) -> TakenCheckpoint:
        """Read a ``checkpoint`` frame.

        Raises:
            ProtocolError: its number is not that of the files before it, one of these is missing, or it has no finite
                score or no result.
        """
        number, score = _number(frame.get("number")), frame.get("score")
        files = self._files.whole() if self._files is not None and number == self._number else {}
        if missing := sorted(NAMES - set(files)):
            raise ProtocolError(f"Checkpoint {number} has no {missing[0]}.")
        if not isinstance(score, int | float) or isinstance(score, bool) or not _is_finite(score):
            raise ProtocolError(f"The score of checkpoint {number} is not a finite number.")
        self._files = None
        return TakenCheckpoint(number, float(score), files, runner_result(frame.get("result")))


def _number(value: object) -> int:
    if type(value) is not int or value < 1:  # a bool is an int too
        raise ProtocolError(f"{str(value)[:40]!r} is not the number of a checkpoint.")
    return value


def _is_finite(score: float) -> bool:
    try:
        return math.isfinite(score)
    except OverflowError:  # an integer beyond every float
        return False
