"""What a supervisor allows one runner to use, and how a job lowers it."""

from dataclasses import dataclass, replace
from typing import Final, TypeVar

from dspy_service.domain.spec import JobLimits

_NumberT = TypeVar("_NumberT", int, float)

OWN_THREADS: Final = 16
"""Of a runner besides its evaluation threads: the main one, two for frames, progress bars', an event loop's pool."""


@dataclass(frozen=True)
class SupervisionLimits:
    """Of one attempt. Most are settings of the operator, under the same names, many with ``runner_`` before them."""

    job_seconds: float = 24 * 3600.0
    """For which it moves: the time in which it is held does not count."""
    cpu_seconds: float = 12 * 3600.0
    """Of all threads together, since the runner got its job."""
    memory_bytes: int = 2 << 30
    """Resident."""
    threads: int = 256
    stall_seconds: float = 900.0
    """Without progress, without a model call, and not waiting for us."""
    ready_seconds: float = 60.0
    """Until a runner has warmed up; a second is usual."""
    cancel_grace_seconds: float = 1.0
    """Between a ``cancel`` frame and the kill."""
    pause_seconds: float = 60.0
    """For model calls in flight to end, so that their answers are kept, before a paused job's runner is killed."""
    hand_back_seconds: float = 5.0
    """The same when the worker goes away."""
    num_threads: int = 8
    """Evaluation threads of a job that does not choose for itself."""
    output_bytes: int = 1 << 20
    """Of stdout and stderr each; what comes after is read and thrown away, so that the program never blocks."""
    log_bytes: int = 64 << 20
    event_bytes: int = 64 << 20
    """Of all events but logs."""
    events: int = 1_000_000
    """Logs included."""
    frame_bytes: int = 4 << 20
    """A frame whose text is not ASCII costs up to ten times its size while it is read: 4 MiB keep that in bounds."""
    pending_calls: int = 256
    pending_bytes: int = 4 << 20
    """Past either, the runner's socket is not read."""
    artifact_bytes: int = 16 << 20
    """Of one artifact, and of one checkpoint."""
    checkpoints: int = 10_000
    """A full evaluation stands behind each; more is a flood."""
    checkpoints_bytes: int = 256 << 20
    """Of all checkpoints that are stored; later ones are kept in memory only."""

    def lowered(self, asked: JobLimits | None) -> "SupervisionLimits":
        """Return the limits of a job: the lower of ours and its own, each."""
        if asked is None:
            return self
        threads = _lower(self.threads, asked.threads)
        return replace(
            self,
            job_seconds=_lower(self.job_seconds, asked.max_seconds),
            cpu_seconds=_lower(self.cpu_seconds, asked.cpu_seconds),
            memory_bytes=_lower(self.memory_bytes, asked.memory_bytes),
            threads=threads,
            stall_seconds=_lower(self.stall_seconds, asked.stall_seconds),
            num_threads=max(1, min(self.num_threads, threads - OWN_THREADS)),
        )


def _lower(ours: _NumberT, asked: _NumberT | None) -> _NumberT:
    return ours if asked is None else min(ours, asked)
