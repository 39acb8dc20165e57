"""The judge of the fault tests finds what it is there to find."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dspy_service.domain.events import Event, EventType
from dspy_service.domain.job import Job, JobStatus
from dspy_service.domain.spec import SplitFractions
from tests.support.faults.history import History

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LOSS = "worker lost: fell silent ({} of 3)"

Told = tuple[str, int] | tuple[str, int, dict[str, Any]]
"""A state, or the type of another event; the attempt; further data."""

RUN: list[Told] = [("pending", 0), ("validating", 1), ("running", 1), ("log", 1)]
SUCCESS: Told = ("success", 1, {"termination_reason": "completed"})
LOST: list[Told] = [*RUN, ("pending", 1, {"message": LOSS.format(1)})]
SECOND: list[Told] = [("validating", 2), ("running", 2), ("success", 2, {"termination_reason": "completed"})]


def a_log(told: list[Told]) -> list[Event]:
    events = []
    for seq, (word, attempt, *more) in enumerate(told, 1):
        kind = EventType.STATE if word in list(JobStatus) else EventType(word)
        data = {"status": word} if kind is EventType.STATE else {}
        at = NOW + timedelta(seconds=seq)
        events.append(
            Event(seq=seq, type=kind, timestamp=at, attempt=attempt, data={**data, **(more[0] if more else {})})
        )
    return events


def a_history(told: list[Told], *, retries: int = 0, **changes: object) -> History:
    """Make a history whose record fits the log, but for ``changes``."""
    events = a_log(told)
    last = next(event for event in reversed(events) if event.type is EventType.STATE)
    status = JobStatus(str(last.data["status"]))
    record: dict[str, Any] = {
        "job_id": "j",
        "created_at": NOW,
        "queued_at": NOW,
        "completed_at": NOW if status.is_terminal else None,
        "status": status,
        "termination_reason": last.data.get("termination_reason"),
        "attempt": last.attempt,
        "losses": sum("worker lost" in str(event.data.get("message")) for event in events),
        "last_seq": len(events),
        "archived_seq": len(events),
        "has_artifact": status is JobStatus.SUCCESS,
        "module_name": "predict",
        "optimizer": "gepa",
        "optimizer_name": "gepa",
        "dataset_rows": 1,
        "dataset_path": "d",
        "split_fractions": SplitFractions(),
        "shuffle": True,
        "seed": 1,
        "optimizer_kwargs": {},
        "compile_kwargs": {},
    }
    return History(Job.model_validate({**record, **changes}), events, max_losses=3, retries=retries)


@pytest.mark.parametrize(
    "told",
    [
        [*RUN, SUCCESS],
        [*LOST, *SECOND],
        [("pending", 0), ("cancelled", 0, {"termination_reason": "cancelled"})],
        [*RUN, ("paused", 1), ("pending", 1), *SECOND],
    ],
    ids=["straight", "after a loss", "cancelled at once", "paused"],
)
def test_nothing_is_wrong_with_a_legal_history(told: list[Told]) -> None:
    assert a_history(told).violations() == []


def test_a_retried_job_may_end_twice() -> None:
    told: list[Told] = [*RUN, ("failed", 1, {"termination_reason": "error"}), ("pending", 1), *SECOND]

    assert a_history(told, retries=1).violations() == []
    assert any("it ended 2 times" in found for found in a_history(told).violations())


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        (a_history([*RUN, SUCCESS], last_seq=6), "I2: its events are 1-5, and the record's last one is 6"),
        (a_history(RUN), "I1: it has not ended"),
        (a_history([*RUN, SUCCESS, ("log", 1)]), "I3: event 6 came after its end"),
        (a_history([*RUN, SUCCESS, SUCCESS]), "I2: it went from success to success"),
        (a_history([*RUN, SUCCESS], status=JobStatus.FAILED), "the record says failed"),
        (a_history([("pending", 0), ("running", 0), SUCCESS]), "I2: it went from pending to running"),
        (a_history([("validating", 1), ("running", 1), SUCCESS]), "I2: it does not begin as a job that waits"),
        (a_history([*LOST, ("log", 1), *SECOND]), "I3: event 6 (log) was written while no worker held the job"),
        (a_history([*LOST, SECOND[0], ("log", 1), *SECOND[1:]]), "I3: event 7 (log) is of attempt 1 during attempt 2"),
        (a_history([*LOST, *SECOND], attempt=3), "I2: the record counts 3 attempts"),
        (a_history([*LOST, *SECOND], losses=0), "I4: the record counts 0 losses"),
        (a_history([*RUN, ("pending", 1, {"message": LOSS.format(2)}), *SECOND]), "it was loss 1 of 3"),
        (a_history([*RUN, ("failed", 1, {"termination_reason": "lost"})]), "I4: it was given up after 0 losses"),
        (a_history([*RUN, ("failed", 1, {"termination_reason": "completed"})]), "failed for the reason completed"),
        (a_history([*RUN, SUCCESS], archived_seq=0), "I1: its end was not settled"),
        (a_history([*RUN, SUCCESS], has_artifact=False), "I1: it succeeded without a program"),
        (a_history([*RUN, SUCCESS], completed_at=None), "I1: it ended at no time"),
    ],
)
def test_what_must_never_be_is_said_in_words(history: History, sentence: str) -> None:
    assert any(sentence in found for found in history.violations()), history.violations()


def test_time_that_goes_back_is_found() -> None:
    history = a_history([*RUN, SUCCESS])
    events = [history.events[0], history.events[1].model_copy(update={"timestamp": NOW}), *history.events[2:]]

    found = History(history.job, events, max_losses=3).violations()

    assert found == ["job j: I2: event 2 is older than event 1"]


def test_more_losses_than_allowed_are_found() -> None:
    told: list[Told] = [("pending", 0)]
    for attempt in (1, 2, 3):
        told += [("validating", attempt), ("pending", attempt, {"message": LOSS.format(attempt)})]

    found = a_history([*told, ("validating", 4)]).violations()

    assert any("I4: it went on after 3 losses" in sentence for sentence in found)
