"""A job is followed, stopped, continued, bounded and tried again through the SDK, as a user's script would do it."""

from collections.abc import Iterator
from typing import Any

import dspy
import pytest

from dspy_service.client import Client, NotYetError, UnknownJobError
from dspy_service.domain.events import EventType
from dspy_service.domain.job import JobStatus
from tests.e2e.test_sdk import RouteTicket, right_team
from tests.support.payloads import ticket_rows

JOB_SECONDS = 60.0
SLOW = "demo/in-context?latency_ms=150"  # slow enough to be met while it runs


@pytest.fixture
def client(service: Any) -> Iterator[Client]:  # noqa: ANN401  # the fixture of conftest
    with Client(service.base_url) as connected:
        yield connected


def search(client: Client, **options: Any) -> str:  # noqa: ANN401  # SubmitOptions
    """Submit a search over whole programs, which stores its best one again and again."""
    settings = {"optimizer": "miprov2", "optimizer_kwargs": {"auto": "light"}, "model": SLOW, "seed": 3, **options}
    return client.submit(RouteTicket, right_team, ticket_rows(60), **settings).job_id  # type: ignore[arg-type]  # a case


def wait_for(client: Client, job_id: str, kind: EventType) -> int:
    """Watch until an event of this type, and return its number."""
    for event in client.watch(job_id):
        if event.type is kind:
            return event.seq
    pytest.fail(f"the job ended without a {kind} event: {client.status(job_id).message}")


def test_watching_a_job_shows_everything_once_and_ends_with_it(client: Client) -> None:
    job_id = search(client, optimizer="labeled_few_shot", optimizer_kwargs={"k": 3}, model="demo/in-context")

    seen = list(client.watch(job_id))

    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert seen == client.events(job_id)
    assert seen[-1].data["status"] == "success"
    assert client.summary(job_id).status is JobStatus.SUCCESS
    assert list(client.watch(job_id, after=len(seen))) == []


def test_a_cancelled_job_keeps_its_best_program_so_far(client: Client) -> None:
    job_id = search(client)
    wait_for(client, job_id, EventType.CHECKPOINT)

    asked = client.cancel(job_id)
    done = client.wait(job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)
    again = client.cancel(job_id)
    program = client.load_program(job_id)

    assert (asked.status, asked.requested) == (JobStatus.RUNNING, "cancel")
    assert (done.status, done.termination_reason) == (JobStatus.CANCELLED, "cancelled")
    assert again.status is JobStatus.CANCELLED
    assert again.best_score is not None
    assert isinstance(program, dspy.Module)
    with pytest.raises(NotYetError, match="is cancelled"):
        client.retry(job_id)


def test_a_paused_job_goes_on_where_it_stopped_and_pays_for_nothing_twice(client: Client) -> None:
    job_id = search(client)
    wait_for(client, job_id, EventType.CHECKPOINT)

    client.pause(job_id)
    paused = next(event for event in client.watch(job_id) if event.data.get("status") == "paused")
    before = client.usage(job_id)
    resumed = client.resume(job_id)
    done = client.wait(job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)
    after = client.usage(job_id)

    assert paused.attempt == 1
    assert resumed.status in {JobStatus.PENDING, JobStatus.VALIDATING, JobStatus.RUNNING}
    assert (done.status, done.attempt) == (JobStatus.SUCCESS, 2)
    assert client.summary(job_id).losses == 0
    assert before.total_calls > 0
    assert after.is_final
    assert after.roles["task"].replayed_calls >= before.roles["task"].calls


def test_a_job_ends_within_its_budget_and_keeps_its_best_program(client: Client) -> None:
    job_id = search(client, budget={"max_lm_calls": 90}, model="demo/in-context")

    done = client.wait(job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)
    usage = client.usage(job_id)

    assert (done.status, done.termination_reason) == (JobStatus.SUCCESS, "budget_exhausted")
    assert usage.total_calls <= 90
    assert isinstance(client.load_program(job_id), dspy.Module)


def test_a_failed_job_is_tried_again_and_its_log_goes_on(client: Client) -> None:
    failing = "def metric(gold, pred, trace=None):\n    return 1 / 0\n"
    job_id = client.submit(RouteTicket, failing, ticket_rows(40), optimizer="labeled_few_shot").job_id
    first = client.wait(job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)

    reopened = client.retry(job_id)
    second = client.wait(job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)
    events = client.events(job_id)

    assert (first.status, first.attempt) == (JobStatus.FAILED, 1)
    assert reopened.status in {JobStatus.PENDING, JobStatus.VALIDATING, JobStatus.RUNNING}
    assert (second.status, second.attempt) == (JobStatus.FAILED, 2)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.data["status"] for event in events if event.type is EventType.STATE].count("failed") == 2


def test_jobs_are_listed_and_deleted(client: Client) -> None:
    options = {"optimizer": "labeled_few_shot", "optimizer_kwargs": {"k": 3}, "model": "demo/in-context"}
    ids = [search(client, metadata={"batch": "listed"}, **options) for _ in range(3)]
    for job_id in ids:
        client.wait(job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)

    page = client.jobs(metadata={"batch": "listed"}, status="success", limit=2)
    rest = client.jobs(metadata={"batch": "listed"}, status="success", limit=2, after=page.last_id or "")
    client.delete(ids[0])

    assert [job.job_id for job in (*page.data, *rest.data)] == ids[::-1]
    assert [job.job_id for job in client.jobs(metadata={"batch": "listed"}).data] == ids[:0:-1]
    with pytest.raises(UnknownJobError):
        client.status(ids[0])
