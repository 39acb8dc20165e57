"""The judge: reads the whole history of a job and says in words what must never happen.

I1  Every accepted job reaches exactly one terminal state.
I2  There is one event of it, and the order of all events is one that the state machine allows.
I3  Nothing is written in the name of a claim that is over.
I4  No job loses more workers than it may.
I5  No process outlives its work; see ``lifetimes``.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job, JobStatus

_HELD: Final = frozenset({JobStatus.VALIDATING, JobStatus.RUNNING})
_LOSS: Final = re.compile(r"^worker lost: (?:fell silent|died) \((\d+) of (\d+)\)$")
_REASONS: Final = {
    JobStatus.SUCCESS: {"completed", "target_reached", "no_improvement", "budget_exhausted"},
    JobStatus.FAILED: {"error", "lost", "stalled", "time_limit", "budget_exhausted"},
    JobStatus.CANCELLED: {"cancelled"},
}


@dataclass(frozen=True)
class State:
    """One state event."""

    event: Event

    @property
    def status(self) -> JobStatus:
        return JobStatus(str(self.event.data["status"]))

    @property
    def reason(self) -> object:
        return self.event.data.get("termination_reason")

    @property
    def loss(self) -> tuple[int, int] | None:
        """Return which loss this was, of how many that end a job; None for every other event."""
        found = _LOSS.match(str(self.event.data.get("message", "")))
        return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True)
class History:
    """A job as it ended, and everything that its log tells."""

    job: Job
    events: Sequence[Event]
    max_losses: int
    retries: int = 0
    """How often a user opened it again at most."""
    states: list[State] = field(init=False)

    def __post_init__(self) -> None:
        states = [State(event) for event in self.events if event.type is EventType.STATE]
        object.__setattr__(self, "states", states)

    def violations(self) -> list[str]:
        """Return a sentence for each thing that must not be; empty when all is well."""
        checks: Iterable[Callable[[History], Iterator[str]]] = _ORDER if self.states else (_numbers, _states)
        return [f"job {self.job.job_id}: {found}" for check in checks for found in check(self)]


def _numbers(history: History) -> Iterator[str]:
    """Numbers rise by one from 1 to the record's last, and times never go back."""
    numbers = [event.seq for event in history.events]
    if numbers != list(range(1, history.job.last_seq + 1)):
        yield f"I2: its events are {_ranges(numbers)}, and the record's last one is {history.job.last_seq}"
    for before, after in itertools.pairwise(history.events):
        if after.timestamp < before.timestamp:
            yield f"I2: event {after.seq} is older than event {before.seq}"


def _states(history: History) -> Iterator[str]:
    """The first state is ``pending``, and every step is an arrow of the state machine."""
    states = history.states
    if not states or (states[0].status, states[0].event.attempt) != (JobStatus.PENDING, 0):
        yield "I2: it does not begin as a job that waits"
    for before, after in itertools.pairwise(states):
        if not before.status.can_become(after.status):
            yield f"I2: it went from {before.status} to {after.status} (event {after.event.seq})"


def _one_end(history: History) -> Iterator[str]:
    """It ended once, or once more for each retry, and the record says the same as the log."""
    job, last = history.job, history.states[-1]
    if not job.status.is_terminal:
        yield f"I1: it has not ended; it is {job.status}"
    ends = [state for state in history.states if state.status.is_terminal]
    if len(ends) > 1 + history.retries:
        yield f"I2: it ended {len(ends)} times with {history.retries} retries: {[end.status.value for end in ends]}"
    if (last.status, last.reason) != (job.status, job.termination_reason):
        told = f"{last.status} ({last.reason})"
        yield f"I2: its log ends with {told}, and the record says {job.status} ({job.termination_reason})"
    for end in ends:
        if end.reason not in _REASONS[end.status]:
            yield f"I2: it ended {end.status} for the reason {end.reason}"
    if job.status.is_terminal and history.events[-1] is not last.event:
        yield f"I3: event {history.events[-1].seq} came after its end"


def _attempts(history: History) -> Iterator[str]:
    """Attempts rise by one with each claim; no earlier one writes after a later one has begun, nor between two."""
    attempt, is_held = 0, False
    for event in history.events:
        if event.type is EventType.STATE:
            status = State(event).status
            attempt += status is JobStatus.VALIDATING
            is_held = status in _HELD
        elif not is_held:
            yield f"I3: event {event.seq} ({event.type}) was written while no worker held the job"
        if event.attempt != attempt:
            yield f"I3: event {event.seq} ({event.type}) is of attempt {event.attempt} during attempt {attempt}"
    if history.job.attempt != attempt:
        yield f"I2: the record counts {history.job.attempt} attempts, and the log tells {attempt}"


def _losses(history: History) -> Iterator[str]:
    """Losses count up from 1, anew after a retry; the last that a job may have ends it."""
    count = 0
    for before, state in itertools.pairwise(history.states):
        if (before.status, state.status) == (JobStatus.FAILED, JobStatus.PENDING):
            count = 0
        if state.loss is None:
            continue
        count += 1
        if state.loss != (count, history.max_losses):
            told = f"{state.loss[0]} of {state.loss[1]}"
            yield f"I4: event {state.event.seq} tells loss {told}, and it was loss {count} of {history.max_losses}"
        if count >= history.max_losses and state.status is JobStatus.PENDING:
            yield f"I4: it went on after {count} losses"
    if history.job.losses != count:
        yield f"I4: the record counts {history.job.losses} losses, and the log tells {count}"
    if history.job.termination_reason == "lost" and count < history.max_losses:
        yield f"I4: it was given up after {count} losses, and {history.max_losses} are allowed"


def _record(history: History) -> Iterator[str]:
    """An ended record shows no holder's traces, and is settled."""
    job = history.job
    if not job.status.is_terminal:
        return
    if job.completed_at is None:
        yield "I1: it ended at no time"
    if job.archived_seq != job.last_seq:
        yield f"I1: its end was not settled: events up to {job.archived_seq} of {job.last_seq} are archived"
    if job.status is JobStatus.SUCCESS and not job.has_artifact:
        yield "I1: it succeeded without a program"
    if job.status is JobStatus.FAILED and job.has_artifact and job.termination_reason != "lost":
        yield "I1: it failed and has a program"


_ORDER: Final = (_numbers, _states, _one_end, _attempts, _losses, _record)


def _ranges(numbers: Sequence[int]) -> str:
    """Write ``1-3, 5`` for 1, 2, 3 and 5."""
    parts = []
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}")
    return ", ".join(parts) or "none"
