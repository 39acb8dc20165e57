"""What a runner may report."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.events import EventType
from dspy_service.domain.frames import Frame
from tests.support.claims import JOB_ID, claimed, told
from workers.supervisor import SupervisionLimits
from workers.supervisor.feed import EventFeed
from workers.supervisor.intake import MAX_EVENT_BYTES, EventIntake


async def _taken(*frames: Frame, **limits: int) -> tuple[MemoryJobStore, list[dict[str, Any]]]:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    intake = EventIntake(feed, SupervisionLimits(**limits))
    for frame in frames:
        intake.take(frame)
    await feed.flush()
    return jobs, (await told(jobs))[2:]


def _log(message: str, **fields: object) -> Frame:
    return {"t": "event", "type": "log", "data": {"level": "INFO", "logger": "dspy", "message": message}, **fields}


async def test_a_log_line_cannot_hide_or_forge_another() -> None:
    _, data = await _taken(_log("\x1b[2Kgone\u202e"), {**_log("x"), "data": {"level": "FORGED", "logger": "\x07"}})

    assert data[0] == {"level": "INFO", "logger": "dspy", "message": "\\x1b[2Kgone\\u202e"}
    assert data[1] == {"level": "INFO", "logger": "\\x07", "message": ""}


async def test_progress_goes_through_with_its_eta() -> None:
    frame = {"t": "event", "type": "progress", "data": {"event": "baseline_evaluated", "metrics": {"a": 1}}}

    jobs, data = await _taken({**frame, "eta_seconds": 30})

    assert data == [frame["data"]]
    assert (await jobs.get(JOB_ID)).eta_at is not None


@pytest.mark.parametrize("eta", [-1, "soon", 1e12, float("nan"), None])
async def test_an_eta_that_cannot_be_is_none(eta: object) -> None:
    frame = {"t": "event", "type": "progress", "data": {"event": "e", "metrics": {}}, "eta_seconds": eta}

    jobs, _ = await _taken(frame)

    assert (await jobs.get(JOB_ID)).eta_at is None


@pytest.mark.parametrize("kind", ["state", "usage", "checkpoint", "unheard-of", None, ["log"]])
async def test_a_runner_tells_neither_state_nor_usage_nor_what_is_kept(kind: object) -> None:
    with pytest.raises(ProtocolError):
        await _taken({"t": "event", "type": kind, "data": {}})


@pytest.mark.parametrize(("kind", "data"), [("log", None), ("progress", {"metrics": {}}), ("trial", [])])
async def test_an_event_without_its_data_breaks_the_protocol(kind: object, data: object) -> None:
    with pytest.raises(ProtocolError):
        await _taken({"t": "event", "type": kind, "data": data})


async def test_an_event_that_is_too_large_is_left_out_and_told() -> None:
    _, data = await _taken({"t": "event", "type": "candidate", "data": {"candidate": "x" * MAX_EVENT_BYTES}})

    assert [entry["code"] for entry in data] == ["event_too_large"]


async def test_a_flood_is_cut_once_and_the_other_kinds_go_on() -> None:
    progress = {"t": "event", "type": "progress", "data": {"event": "e", "metrics": {}}}

    _, data = await _taken(*[_log("x" * 50)] * 10, progress, log_bytes=200)

    assert [entry.get("code") or entry.get("message") or entry["event"] for entry in data] == [
        "x" * 50,
        "x" * 50,
        "events_cut",
        "e",
    ]


async def test_the_time_at_which_a_runner_saw_it_is_kept_when_it_is_one() -> None:
    jobs, claim = await claimed()
    feed = EventFeed(claim, jobs)
    intake = EventIntake(feed, SupervisionLimits())
    for told_at in ("2026-01-02T03:04:05+00:00", "yesterday", 7):
        intake.take(_log("x", occurred_at=told_at))

    times = [item[0].occurred_at for item in feed._queue if item is not None]

    assert times == [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None, None]
    assert all(item[0].type is EventType.LOG for item in feed._queue if item is not None)


async def test_names_and_texts_of_every_event_are_made_safe() -> None:
    progress = {"event": "a\nb\x1b", "metrics": {"m\x07\n": "\u202e", "n" * 500: 1.0}}
    candidate = {"candidate": 1, "instructions": {"p\n": "\x1b[31mred\nline"}}

    jobs, data = await _taken(
        {"t": "event", "type": "progress", "data": progress}, {"t": "event", "type": "candidate", "data": candidate}
    )

    job = await jobs.get(JOB_ID)
    assert data[0]["event"] == job.message == "a b\\x1b"
    assert job.latest_metrics["m\\x07 "] == "\\u202e"
    assert all(len(name) < 250 for name in job.latest_metrics)
    assert data[1]["instructions"] == {"p ": "\\x1b[31mred\nline"}


async def test_a_flood_of_events_that_are_too_large_is_cut_too() -> None:
    frame = {"t": "event", "type": "candidate", "data": {"candidate": "x" * (MAX_EVENT_BYTES + 1)}}

    _, data = await _taken(*[frame] * 10, event_bytes=3 * MAX_EVENT_BYTES)

    assert [entry["code"] for entry in data] == [*["event_too_large"] * 3, "events_cut"]


async def test_a_job_has_a_largest_number_of_events() -> None:
    progress = {"t": "event", "type": "progress", "data": {"event": "e", "metrics": {}}}

    _, data = await _taken(*[_log("x"), progress] * 10, events=4)

    assert len(data) == 5  # and a mark
    assert "all events" in data[4]["message"]


async def test_a_number_that_is_not_finite_is_not_stored() -> None:
    frame = {"t": "event", "type": "trial", "data": {"trial": 1, "score": float("inf")}}

    _, data = await _taken(frame)

    assert data == [{"trial": 1, "score": None}]
